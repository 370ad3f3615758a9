"""Items that are made from the dense arm's own answers, once, and then asked of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crushtest.pipeline.context import Run
from crushtest.pipeline.provenance import describe_task
from crushtest.pipeline.score import score
from crushtest.records import Item
from crushtest.registry import SCORERS
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask


def is_settled(folder: StudyFolder, planned: PlannedTask) -> bool:
    """Return True if a task's items are what they will be: they need no answer of dense, or are there already."""
    return planned.task.from_dense is None or folder.items_path(planned.name).exists()


def as_settled(folder: StudyFolder, planned: PlannedTask, drawn: list[Item]) -> list[Item]:
    """Return the drawn items as the study's first arm settled them, if it has."""
    how = planned.task.from_dense
    if how is None or not is_settled(folder, planned):
        return drawn
    return how.again(drawn, folder.read_items(planned.name))


def settle(run: Run, planned: PlannedTask) -> Sequence[Item]:
    """Return a task's items; those that dense's answers make are made and written when the first arm comes to them."""
    how = planned.task.from_dense
    if how is None or is_settled(run.folder, planned):
        return run.items[planned.name]
    folder, dense = run.folder, run.plan.dense
    asked = next(other for other in run.plan.tasks if other.name == how.task)
    detectors = tuple(spec for spec in asked.task.scorers if _detects(spec) == how.detects)
    narrowed = replace(asked, task=replace(asked.task, scorers=detectors))
    score(folder, dense, narrowed, run.items[asked.name], run.progress, run.engines)
    ids = [item.id for item in run.items[asked.name]]
    answers = folder.answers(dense.name, asked.name, asked.task.kind).read(ids)
    scores = {scorer: folder.scores(dense.name, scorer, asked.name).read(ids) for scorer in detectors}
    items = how.make(run.items[planned.name], answers, scores)
    folder.write_items(planned.name, items)
    describe_task(folder, planned, items)
    run.items[planned.name] = items
    return items


def _detects(spec: str) -> str | None:
    return SCORERS.get(SCORERS.split(spec)[0]).about.detects
