"""What a comparison reads: the complete answers and scores of arms, of their repeats and of their draws."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crushtest.files.append_log import AppendLog
from crushtest.metrics import Metric, with_read
from crushtest.pipeline.draws import complete_draws
from crushtest.records import DENSE, ReadChoice
from crushtest.stats.item_sums import Measured
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.draws import paired_draws
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask


def complete_pairs(folder: StudyFolder, plan: Plan) -> list[tuple[str, str]]:
    """Return the (arm, task) pairs that are answered and scored to the last item; none of an arm that is invalid."""
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    return [
        (arm.name, planned.name)
        for planned in plan.tasks
        for arm in plan.arms
        if arm.name not in invalid
        and folder.answers(arm.name, planned.name, planned.task.kind).complete
        and all(folder.scores(arm.name, scorer, planned.name).complete for scorer in planned.task.scorers)
    ]


def complete_repeats(folder: StudyFolder, plan: Plan, planned: PlannedTask) -> dict[str, list[int]]:
    """Return, per arm, the numbers of its repeats that are answered and scored to the last item of a task."""
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    complete: dict[str, list[int]] = {}
    for arm in plan.repeats:
        answers = folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat)
        scores = (folder.scores(arm.name, s, planned.name, repeat=arm.repeat) for s in planned.task.scorers)
        if arm.title not in invalid and answers.complete and all(log.complete for log in scores):
            complete.setdefault(arm.name, []).append(arm.repeat)
    return complete


def read_measured(
    folder: StudyFolder, arm: str, planned: PlannedTask, items: Sequence[str], *, repeat: int = 0, draw: int = 0
) -> Measured:
    """Return the answers of an arm, repeat or draw by item, and its scores by scorer and item.

    Raises StoreError unless they are of exactly these items.
    """
    again = {"repeat": repeat, "draw": draw}
    answers = folder.answers(arm, planned.name, planned.task.kind, **again).read(items)
    scores = {s: folder.scores(arm, s, planned.name, **again).read(items) for s in planned.task.scorers}
    return Measured(answers, scores)


def metrics_of(planned: PlannedTask, answers: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Return the metrics of a task, with those of letters read from replies if any arm was asked so."""
    is_read = any(isinstance(answer, ReadChoice) for given in answers for answer in given.values())
    return with_read(planned.task.metrics) if is_read else planned.task.metrics


def repeats_of_task(
    folder: StudyFolder, plan: Plan, planned: PlannedTask, items: Sequence[str], arms: Container[str]
) -> Iterator[tuple[str, list[Measured]]]:
    """Yield each of these arms that was repeated, with what its complete repeats measured."""
    for arm, numbers in complete_repeats(folder, plan, planned).items():
        if arm in arms:
            yield arm, [read_measured(folder, arm, planned, items, repeat=number) for number in numbers]


class Draws(NamedTuple):
    """What the draws of a task's arms measured, by arm and number; those of arms with further draws only."""

    arms: Mapping[str, Arm]
    first: Mapping[str, Measured]
    measured: Mapping[str, Mapping[int, Measured]]

    def own(self, arm: str) -> list[Measured]:
        """Return the further draws of an arm. Dense has none: arms that are measured once are compared with draw 0."""
        return [] if arm == DENSE else list(self.measured.get(arm, {}).values())[1:]

    def pairs(self, arm: str, against: str) -> list[tuple[Measured, Measured]]:
        """Return what an arm's further draws are compared with, and these: (against, arm)."""
        of_arm, of_other = (self.measured.get(name, {0: self.first[name]}) for name in (arm, against))
        pairs = paired_draws(self.arms[arm], list(of_arm), self.arms[against], list(of_other))
        return [(of_other[two], of_arm[one]) for one, two in pairs if (one, two) != (0, 0)]


def read_draws(
    folder: StudyFolder, plan: Plan, planned: PlannedTask, measured: Mapping[str, Measured], items: Sequence[str]
) -> Draws:
    """Return what the complete draws of a task's arms measured, given what the arms themselves did."""
    complete = complete_draws(folder, plan, planned)
    return Draws(
        {arm.name: arm for arm in plan.arms},
        measured,
        {
            arm: {
                draw: read_measured(folder, arm, planned, items, draw=draw) if draw else measured[arm]
                for draw in complete[arm]
            }
            for arm in measured
            if arm in complete
        },
    )


class Compared(NamedTuple):
    """The logs that a comparison reads of a task and arm, of a repeat or of a draw; `repeat` is 0 for a draw."""

    planned: PlannedTask
    repeat: int
    logs: tuple[AppendLog[Any], ...]


def compared_logs(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> Iterator[Compared]:
    """Yield the answers and scores of these (arm, task) pairs, of their repeats and of their further draws."""
    tasks = {planned.name: planned for planned in plan.tasks}
    for arm, task in pairs:
        planned = tasks[task]
        for number in (0, *complete_repeats(folder, plan, planned).get(arm, ())):
            answers = folder.answers(arm, task, planned.task.kind, repeat=number)
            scores = (folder.scores(arm, scorer, task, repeat=number) for scorer in planned.task.scorers)
            yield Compared(planned, number, (answers, *scores))
        for number in complete_draws(folder, plan, planned).get(arm, ())[1:]:
            answers = folder.answers(arm, task, planned.task.kind, draw=number)
            scores = (folder.scores(arm, scorer, task, draw=number) for scorer in planned.task.scorers)
            yield Compared(planned, 0, (answers, *scores))


def check_inputs(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> None:
    """Raise StoreError if answers or scores are damaged or not of their items, before anything is computed."""
    items: dict[str, list[str]] = {}
    for planned, _, logs in compared_logs(folder, plan, pairs):
        if planned.name not in items:
            items[planned.name] = folder.items_table(planned.name)["item"].to_list()
        for log in logs:
            log.table(items[planned.name])


def read_files(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> tuple[list[Path], list[Path]]:
    """Return the files that a comparison reads: items, answers and scores of arms, then those of repeats."""
    of_arms: list[Path] = []
    of_repeats: list[Path] = []
    for planned, number, logs in compared_logs(folder, plan, pairs):
        of_arms.append(folder.items_path(planned.name))
        (of_repeats if number else of_arms).extend(log.final for log in logs)
    return of_arms, of_repeats
