"""Further draws of an arm: which are planned, complete and compared."""

from __future__ import annotations

from dataclasses import replace

from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.manifest import COMPARED_DRAWS, FAILED_DRAWS
from crushtest.study.plan import Plan, PlannedTask


def without_failed(folder: StudyFolder, plan: Plan) -> Plan:
    """Return the plan without the draws whose compression failed. They are not tried again."""
    failed = manifest.read(folder.manifest).get(FAILED_DRAWS, {})
    return replace(plan, draws=tuple(arm for arm in plan.draws if arm.title not in failed))


def planned_draws(plan: Plan, planned: PlannedTask) -> dict[str, list[int]]:
    """Return, per arm that is asked a task in several draws, their numbers, the arm itself first."""
    numbers: dict[str, list[int]] = {}
    for arm in plan.draws:
        if any(asked.name == planned.name for asked in plan.asked_of(arm)):
            numbers.setdefault(arm.name, [0]).append(arm.draw)
    return numbers


def complete_draws(folder: StudyFolder, plan: Plan, planned: PlannedTask) -> dict[str, list[int]]:
    """Return the numbers of `planned_draws` that are answered and scored to the last item, and the arm's own 0.

    A draw that is invalid, because its model became another one meanwhile, is none of them.
    """
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    changed = {(arm.name, arm.draw) for arm in plan.draws if arm.title in invalid}

    def counts(arm: str, draw: int) -> bool:
        return (arm, draw) not in changed and _is_complete(folder, arm, planned, draw)

    return {
        arm: [0, *(number for number in numbers[1:] if counts(arm, number))]
        for arm, numbers in planned_draws(plan, planned).items()
    }


def _is_complete(folder: StudyFolder, arm: str, planned: PlannedTask, draw: int) -> bool:
    answers = folder.answers(arm, planned.name, planned.task.kind, draw=draw)
    scores = (folder.scores(arm, scorer, planned.name, draw=draw) for scorer in planned.task.scorers)
    return answers.complete and all(log.complete for log in scores)


def compared_draws(folder: StudyFolder, plan: Plan) -> dict[str, dict[str, list[int]]]:
    """Return, per task and arm, the numbers of the draws in its results, according to the manifest."""
    noted = manifest.read(folder.manifest).get(COMPARED_DRAWS, {})
    return {planned.name: noted.get(planned.name, {}) for planned in plan.tasks}
