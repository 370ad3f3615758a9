"""Resolve a study file into a plan, and check everything before a weight is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crushtest.compress.calibration import Calibration
from crushtest.data.published.catalogue import check_name
from crushtest.errors import UnknownName, UsageError
from crushtest.records import Item, Passage
from crushtest.registry import ENGINES, SCORERS, TASKS, Dimension
from crushtest.study.arms import Arm, make_arms
from crushtest.study.draws import draws_of
from crushtest.study.repeats import repeats_of
from crushtest.study.spec import Correction, Half, StopEarlySpec, StudySpec, read_stored_spec
from crushtest.study.suites import resolve
from crushtest.tasks.base import Task


def stored_plan(specification: Path) -> Plan:
    """Return the plan of the study in a folder. Raises UsageError, which names the file, if it cannot be resolved."""
    spec = read_stored_spec(specification)
    try:
        return make_plan(spec)
    except UsageError as error:
        raise UsageError(f"{specification}: {error}") from None


@dataclass(frozen=True)
class PlannedTask:
    """A task with its options bound. Its items are read or built when they are drawn.

    limit    how many are drawn; None: all of them
    system   the system message before each request in chat; None: the chat template's own, if it has one
    """

    name: str
    dimension: Dimension
    options: dict[str, Any]
    task: Task
    limit: int | None
    seed: int
    system: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Return what a study file says of the task: its options, and the limit unless none applies by default."""
        return self.options if self.limit is self.task.default_limit is None else {**self.options, "limit": self.limit}

    @property
    def is_sampled(self) -> bool:
        """True if its completions are drawn at random, so that another seed gives others."""
        return self.task.kind == "prompts" and self.task.sampling.temperature > 0

    def with_draw(self, number: int) -> PlannedTask:
        """Return the task with the seed of another draw of its completions."""
        sampling = replace(self.task.sampling, seed=self.task.sampling.seed + number)
        return replace(self, task=replace(self.task, sampling=sampling))

    def draw(self) -> list[Item]:
        """Return the items to ask. Raises DataError if the data are missing."""
        items = self.task.sample_items(self.limit, self.seed)
        if not items:
            raise UsageError(f"task {self.name!r}: its options leave no item")
        return [_with_system(item, self.system) for item in items]


def _with_system(item: Item, system: str | None) -> Item:
    if system is None or isinstance(item.request, Passage) or not item.request.chat:
        return item
    return replace(item, request=replace(item.request, system=system))


@dataclass(frozen=True)
class Plan:
    """Everything a study will do.

    arms         the dense arm first
    repeats      of the dense arm and of others, for the noise floor
    draws        further draws of arms with `replicates`, numbered from 1; the arm itself is draw 0
    calibration  the text that recipes are calibrated on, in draw 0, unless their arm has its own
    seed         of the bootstrap
    grown        the tasks that get more items than the folder holds answers to
    correction   how p is adjusted over the rows of a task and arm
    beside       published results that the report draws beside the study's own
    stop_early   when an arm need not be asked every item; None: it is
    policy       the policy whose verdict heads the report; None: it has none
    half         which half of the clusters is asked; None: all of them
    """

    arms: tuple[Arm, ...]
    repeats: tuple[Arm, ...]
    tasks: tuple[PlannedTask, ...]
    calibration: Calibration
    seed: int
    correction: Correction
    grown: frozenset[str] = frozenset()
    beside: tuple[str, ...] = ()
    draws: tuple[Arm, ...] = ()
    stop_early: StopEarlySpec | None = None
    policy: str | None = None
    half: Half | None = None

    @property
    def dense(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every arm with each arm that it is compared with, dense first."""
        return tuple((arm.name, against) for arm in self.arms for against in arm.against)

    @property
    def measured(self) -> tuple[Arm, ...]:
        """The arms, then their draws and repeats: everything that is asked and scored."""
        return (*self.arms, *self.draws, *self.repeats)

    def asked_of(self, arm: Arm) -> tuple[PlannedTask, ...]:
        """Return the tasks that an arm is asked. A draw without calibration is asked what it would answer otherwise."""
        if not arm.draw or arm.calibrates:
            return self.tasks
        return tuple(planned.with_draw(arm.draw) for planned in self.tasks if planned.is_sampled)

    def calibration_of(self, arm: Arm) -> Calibration:
        """Return the calibration text of an arm: its own or the study's. The seed is one higher from draw to draw."""
        seed = self.calibration.seed + arm.draw
        if arm.calibration is None:
            return replace(self.calibration, seed=seed)
        return Calibration(**arm.calibration.model_dump(), seed=seed)


def make_plan(spec: StudySpec) -> Plan:
    """Resolve a study file and check its names and options, without touching models or data."""
    arms, tasks = make_arms(spec), plan_tasks(spec)
    plan = Plan(
        arms=arms,
        repeats=repeats_of(spec, arms),
        draws=draws_of(arms, samples=any(planned.is_sampled for planned in tasks)),
        tasks=tasks,
        calibration=Calibration(**spec.calibration.model_dump(), seed=spec.seed),
        seed=spec.seed,
        correction=spec.correction,
        beside=spec.beside,
        stop_early=spec.stop_early,
        policy=spec.policy or (spec.stop_early.policy if spec.stop_early else None),
        half=spec.half,
    )
    if spec.stop_early is not None and plan.draws:
        raise UsageError(
            "stop_early and replicates: an arm in several draws is asked every item; leave one of the two out"
        )
    if spec.stop_early is not None and spec.noise_floor.repeats:
        raise UsageError(
            "stop_early and noise_floor: looks know of no repeats, which are asked last; leave one of the two out"
        )
    for source in spec.beside:
        check_name(source)
    check_order(plan.tasks)
    check_answers(plan.measured, plan.tasks)
    return plan


def check_order(tasks: Iterable[PlannedTask]) -> None:
    """Raise UsageError if a task needs dense's answers to one that the study does not ask before it."""
    asked: dict[str, PlannedTask] = {}
    for planned in tasks:
        how = planned.task.from_dense
        if how is not None and how.task not in asked:
            raise UsageError(
                f"task {planned.name!r} needs the answers of the dense model to {how.task!r}: put that task before it "
                "in the suite"
            )
        if how is not None and asked[how.task].limit != planned.limit:
            raise UsageError(
                f"task {planned.name!r} is about the items of {how.task!r}: give both the same limit "
                f"(got {planned.limit} and {asked[how.task].limit})"
            )
        asked[planned.name] = planned


def check_answers(arms: Sequence[Arm], tasks: Sequence[PlannedTask]) -> None:
    """Raise UsageError if an arm's engine does not answer the requests of a task."""
    for arm in arms:
        refuse_unanswered(arm, ENGINES.get(arm.engine).about.answers, tasks)


def refuse_unanswered(
    arm: Arm, answers: Sequence[str], tasks: Sequence[PlannedTask], hints: Mapping[str, str] | None = None
) -> None:
    """Raise UsageError if a task asks for what an arm's engine, or its model in that engine, does not answer.

    hints  what would make the engine answer a kind of request
    """
    for planned in tasks:
        if planned.task.kind not in answers:
            hint = (hints or {}).get(planned.task.kind, "")
            raise UsageError(
                f"arm {arm.title!r}: engine {arm.engine!r} answers {', '.join(answers)} only "
                f"(task {planned.name!r} asks for {planned.task.kind})" + (f"; {hint}" if hint else "")
            )


def plan_tasks(spec: StudySpec) -> tuple[PlannedTask, ...]:
    """Return the tasks of a study, their names and options checked."""
    return tuple(_plan_task(spec, name, options) for name, options in resolve(spec.suite))


def _plan_task(spec: StudySpec, name: str, options: dict[str, Any]) -> PlannedTask:
    entry = TASKS.get(name)
    given = dict(options)
    limit = given.pop("limit", spec.limit)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError(f"task {name!r}: limit must be a whole number of at least 1 (got {limit!r})")
    if "seed" in entry.options:
        given.setdefault("seed", spec.seed)
    for option in given:
        if option not in entry.options:
            raise UnknownName("option", option, [*entry.options, "limit"], where=f"task {name!r}")
    bound = entry.bind(given)
    task = entry.function(**bound)
    if limit is None and "limit" not in options:  # `limit: null` asks for all items
        limit = task.default_limit
    for scorer in task.scorers:
        SCORERS.get(scorer.partition(":")[0], where=f"task {name!r}")
    return PlannedTask(name, entry.about.dimension, bound, task, limit, spec.seed, spec.system)
