"""What a study will do: the study file resolved, everything checked before a weight is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crushtest.compress.calibration import Calibration
from crushtest.errors import UsageError
from crushtest.records import Item
from crushtest.registry import ENGINES, SCORERS, TASKS, Dimension
from crushtest.study.arms import Arm, make_arms
from crushtest.study.repeats import repeats_of
from crushtest.study.spec import Correction, StudySpec
from crushtest.study.suites import resolve
from crushtest.tasks.base import Task
from crushtest.tasks.sampling import spread


@dataclass(frozen=True)
class PlannedTask:
    """A task with its options bound; its items are read or built when drawn."""

    name: str
    dimension: Dimension
    options: dict[str, Any]
    task: Task
    limit: int | None
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """The options, and the study's own draw beside them where it draws: what a study file says of the task."""
        return self.options if self.limit is None else {**self.options, "limit": self.limit}

    def draw(self) -> list[Item]:
        """The items to ask: all, or `limit` of them. Raises DataError where the data are not to be had."""
        items = self.task.items()
        if not items:
            raise UsageError(f"task {self.name!r}: its options leave no item")
        return list(items) if self.limit is None else spread(items, self.limit, self.seed)


@dataclass(frozen=True)
class Plan:
    """Everything a study will do.

    arms         the dense arm first
    repeats      of the dense arm, for the noise floor
    calibration  the text that the recipes see
    seed         of the bootstrap
    correction   how p is adjusted over the rows of a task and arm
    """

    arms: tuple[Arm, ...]
    repeats: tuple[Arm, ...]
    tasks: tuple[PlannedTask, ...]
    calibration: Calibration
    seed: int
    correction: Correction

    @property
    def dense(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def measured(self) -> tuple[Arm, ...]:
        """The arms, then the repeats: all that is asked and scored."""
        return (*self.arms, *self.repeats)


def make_plan(spec: StudySpec) -> Plan:
    """Resolve a study file, names and options checked. Neither models nor data are touched."""
    arms = make_arms(spec)
    plan = Plan(
        arms=arms,
        repeats=repeats_of(spec, arms[0]),
        tasks=plan_tasks(spec),
        calibration=Calibration(**spec.calibration.model_dump(), seed=spec.seed),
        seed=spec.seed,
        correction=spec.correction,
    )
    check_answers(plan.measured, plan.tasks)
    return plan


def check_answers(arms: Sequence[Arm], tasks: Sequence[PlannedTask]) -> None:
    """Raise UsageError for an arm whose engine does not answer the requests of a task."""
    for arm in arms:
        refuse_unanswered(arm, ENGINES.get(arm.engine).about.answers, tasks)


def refuse_unanswered(arm: Arm, answers: Sequence[str], tasks: Sequence[PlannedTask]) -> None:
    """Raise UsageError if a task asks for what an arm's engine, or its model in that engine, does not answer."""
    for planned in tasks:
        if planned.task.kind not in answers:
            raise UsageError(
                f"arm {arm.title!r}: engine {arm.engine!r} answers {', '.join(answers)} only "
                f"(task {planned.name!r} asks for {planned.task.kind})"
            )


def plan_tasks(spec: StudySpec) -> tuple[PlannedTask, ...]:
    """The tasks of a study, names and options checked."""
    return tuple(_plan_task(spec, name, options) for name, options in resolve(spec.suite))


def _plan_task(spec: StudySpec, name: str, options: dict[str, Any]) -> PlannedTask:
    entry = TASKS.get(name)
    given = {"limit": spec.limit, **options}
    limit = None
    if "limit" not in entry.options:  # the draw is the study's, unless the task has its own
        limit = given.pop("limit")
    elif given["limit"] is None:
        del given["limit"]
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError(f"task {name!r}: limit must be a whole number of at least 1 (got {limit!r})")
    if "seed" in entry.options:
        given.setdefault("seed", spec.seed)
    bound = entry.bind(given)
    task = entry.function(**bound)
    for scorer in task.scorers:
        SCORERS.get(scorer.partition(":")[0], where=f"task {name!r}")
    return PlannedTask(name, entry.about.dimension, bound, task, limit, spec.seed)
