"""Where arms stopped early: what their answers say of themselves."""

from __future__ import annotations

from typing import Literal, NamedTuple

from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

Because = Literal["settled", "regression"]


class Stop(NamedTuple):
    """Where an arm stopped in a task.

    look, looks   the look, and how many there are
    asked, items  items that were asked, and those of the full run
    because       all rules of the task were settled, or one was a regression, which ends the arm
    """

    look: int
    looks: int
    asked: int
    items: int
    because: Because


def read_stop(folder: StudyFolder, arm: Arm, planned: PlannedTask) -> Stop | None:
    """Return where an arm stopped in a task; None if it was asked every item, or is not done."""
    part = folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat).part()
    return Stop(**part) if part else None  # type: ignore[arg-type]


def stops_of(folder: StudyFolder, plan: Plan) -> dict[tuple[str, str], Stop]:
    """Return every (arm, task) that was stopped."""
    if plan.stop_early is None:
        return {}
    stops = {
        (arm.name, planned.name): read_stop(folder, arm, planned) for arm in plan.arms[1:] for planned in plan.tasks
    }
    return {place: stop for place, stop in stops.items() if stop is not None}


def promise(stop: Stop, error: float) -> str:
    """Return what a stop promises: `stopped after 18% of the items; the full run would say the same (...)`."""
    return (
        f"stopped after {stop.asked / max(1, stop.items):.0%} of the items; the full run would say the same "
        f"(at most {error:.0%} error)"
    )


def goes_on(plan: Plan, arm: Arm) -> bool:
    """Return True if an arm that stopped goes on to the full run: to be finished, or now compared with another arm."""
    return plan.stop_early is not None and (plan.stop_early.finish or not may_stop(plan, arm))


def is_over(folder: StudyFolder, plan: Plan, arm: Arm) -> bool:
    """Return True if a regression has ended an arm, so that what it was not asked stays unasked."""
    if not may_stop(plan, arm) or (plan.stop_early is not None and plan.stop_early.finish):
        return False
    stops = (read_stop(folder, arm, planned) for planned in plan.tasks)
    return any(stop is not None and stop.because == "regression" for stop in stops)


def is_asked(folder: StudyFolder, plan: Plan, arm: Arm, planned: PlannedTask) -> bool:
    """Return False for a task that a regression in another one has left unasked."""
    log = folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat)
    return log.complete or not is_over(folder, plan, arm)


def may_stop(plan: Plan, arm: Arm) -> bool:
    """Return True if an arm is asked in looks: any but dense, no repeat, and none that is compared with another arm.

    Of two arms that are compared with each other, both need the same items.
    """
    others = {other for each in plan.arms for other in each.against}
    in_pair = arm.name in others or {*arm.against} != {plan.dense.name}
    return plan.stop_early is not None and arm.name != plan.dense.name and not arm.repeat and not in_pair
