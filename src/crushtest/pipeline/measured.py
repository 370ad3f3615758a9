"""What a comparison reads: the complete answers and scores of arms, of their repeats and of their draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from crushtest.files.append_log import AppendLog
from crushtest.metrics import Metric, with_read
from crushtest.pipeline.draws import complete_draws
from crushtest.records import DENSE, ReadChoice
from crushtest.stats.asked import Asked, Summed
from crushtest.stats.contrasts import SummedPair
from crushtest.stats.item_sums import Measured
from crushtest.stats.stored_choices import StoredChoices
from crushtest.stats.stored_items import id_column
from crushtest.study import manifest
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
    folder: StudyFolder,
    arm: str,
    planned: PlannedTask,
    items: Sequence[str] | pl.Series,
    *,
    repeat: int = 0,
    draw: int = 0,
) -> Measured:
    """Return the answers of an arm, repeat or draw by item, and its scores by scorer and item.

    Raises StoreError unless they are of exactly these items.
    """
    again = {"repeat": repeat, "draw": draw}
    log = folder.answers(arm, planned.name, planned.task.kind, **again)
    by_columns = planned.task.kind == "choices" and log.complete
    answers = StoredChoices(log.table(items).frame, log.records) if by_columns else log.read(list(items))
    scores = {s: folder.scores(arm, s, planned.name, **again).read(list(items)) for s in planned.task.scorers}
    return Measured(answers, scores)


def metrics_of(planned: PlannedTask, answers: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Return the metrics of a task, with those of letters read from replies if any arm was asked so."""
    is_read = any(isinstance(answer, ReadChoice) for given in answers for answer in given.values())
    return with_read(planned.task.metrics) if is_read else planned.task.metrics


@dataclass
class Arms:
    """What the arms of one task measured, and their draws, read and summed when first asked for.

    names     the arms that have finished the task
    compared  what each of them is compared with
    asked     the task's items
    numbers   the draws of each arm that has several, its own 0 first
    """

    folder: StudyFolder
    plan: Plan
    planned: PlannedTask
    names: Sequence[str]
    compared: Mapping[str, Sequence[str]]
    asked: Asked

    def __post_init__(self) -> None:
        complete = complete_draws(self.folder, self.plan, self.planned)
        self.numbers = {arm: complete[arm] for arm in self.names if arm in complete}
        self._ids = id_column(self.asked.items)
        self._arms = {arm.name: arm for arm in self.plan.arms}
        self._read: dict[tuple[str, int], Summed] = {}

    def one_by_one(self) -> Iterator[str]:
        """Yield every arm; what no arm after it is compared with is forgotten."""
        for place, arm in enumerate(self.names):
            yield arm
            later = self.names[place + 1 :]
            needed = {*later, *(against for name in later for against in self.compared[name])}
            self._read = {key: summed for key, summed in self._read.items() if key[0] in needed}

    def summed(self, arm: str, draw: int = 0) -> Summed:
        """Return what an arm or draw measured. Raises StoreError unless it is of the task's items."""
        if (arm, draw) not in self._read:
            self._read[arm, draw] = self.asked.summed(self.measured(arm, draw=draw))
        return self._read[arm, draw]

    def measured(self, arm: str, *, draw: int = 0, repeat: int = 0) -> Measured:
        """Return what an arm, draw or repeat measured, without its sums."""
        return read_measured(self.folder, arm, self.planned, self._ids, draw=draw, repeat=repeat)

    def draws(self, arm: str) -> list[Summed]:
        """Return the draws of an arm. Dense has one: arms that are measured once are compared with draw 0."""
        return [self.summed(arm, draw) for draw in ([0] if arm == DENSE else self.numbers.get(arm, [0]))]

    def pairs(self, arm: str, against: str) -> list[SummedPair]:
        """Return what an arm and its further draws are compared with, and these; the arms themselves first."""
        own, other = (self.numbers.get(name, [0]) for name in (arm, against))
        further = (pair for pair in paired_draws(self._arms[arm], own, self._arms[against], other) if pair != (0, 0))
        return [SummedPair(self.summed(against, two), self.summed(arm, one)) for one, two in ((0, 0), *further)]


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


def check_inputs(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the tasks in which letters were read from replies.

    Raises StoreError if answers or scores are damaged or not of their items, before anything is computed.
    """
    items: dict[str, pl.Series] = {}
    read: set[str] = set()
    for planned, _, logs in compared_logs(folder, plan, pairs):
        if planned.name not in items:
            items[planned.name] = folder.items_table(planned.name)["item"]
        frames = [log.table(items[planned.name]).frame for log in logs]
        if "reply" in frames[0].columns and frames[0]["reply"].is_not_null().any():
            read.add(planned.name)
    return frozenset(read)


def read_files(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> tuple[list[Path], list[Path]]:
    """Return the files that a comparison reads: items, answers and scores of arms, then those of repeats."""
    of_arms: list[Path] = []
    of_repeats: list[Path] = []
    for planned, number, logs in compared_logs(folder, plan, pairs):
        of_arms.append(folder.items_path(planned.name))
        (of_repeats if number else of_arms).extend(log.final for log in logs)
    return of_arms, of_repeats
