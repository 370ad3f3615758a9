"""The metric that stands for a task where there is room for only one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from crushtest.metrics import READ, Metric, with_read
from crushtest.report.formats import show_bound, show_value
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, sentence_case
from crushtest.stats.rates import FEWEST_TESTABLE, PairedCounts, paired_interval
from crushtest.stats.significance import detectable, testable_change

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView
    from crushtest.report.task_view import TaskView
    from crushtest.results import Contrast
    from crushtest.tasks.base import Task

NEVER = float("inf")


def headline(task: Task, unfit: Collection[str] = (), measured: Collection[str] = ()) -> Metric:
    """Return the metric that heads a task's column: the task's own choice, unless it is unfit.

    Where dense's letters were read from replies, it is the choice's metric of letters read. A metric that would miss a
    fourfold rise gives way to another of the same scorer, such as the mean probability in place of a rate. It stays if
    there is no other. `measured` are the metrics that have a value in dense.
    """
    first = task.headline_metric
    if first.name + READ in measured:
        return next(metric for metric in with_read(task.metrics) if metric.name == first.name + READ)
    beside = [
        metric
        for metric in task.metrics
        if metric.scorer is not None and (metric.scorer, metric.better) == (first.scorer, first.better)
    ]
    return next((metric for metric in (first, *beside) if metric.name not in unfit), first)


def fourfold_missed(metric: Metric, rows: Sequence[Contrast]) -> bool:
    """Return whether a fourfold rise of a rate of harm would often go unnoticed: more than once in five times.

    The answer depends on dense's rate and on the design alone, never on an arm's results: a measure must not lose its
    place because of the harm that it found. `rows` are the task's contrasts over all items.
    """
    if metric.unit != "rate" or metric.better != "lower":
        return False
    tested = [row for row in rows if row.metric == metric.name and row.difference is not None and row.p is not None]
    if not tested:
        return False
    largest = max(tested, key=lambda row: row.n)
    return not largest.dense or smallest_rise(largest) > 3 * largest.dense


def smallest_rise(row: Contrast) -> float:
    """Return the rise of a rate that these items detect with a chance of 80%, if nothing else changes."""
    if row.clusters < FEWEST_TESTABLE:
        return NEVER
    nothing, items = np.zeros(row.clusters), np.full(row.clusters, row.n / row.clusters)
    width = detectable(paired_interval(PairedCounts(nothing, nothing, items), level=0.95), row.clusters)
    return max(width, testable_change(row.clusters, row.n))


def unfit_notes(study: StudyView) -> Iterator[str]:
    """Yield a note per task whose first choice would miss a fourfold rise: why, and which measure heads it instead."""
    for task in study.tasks:
        first = headline(task.planned.task)
        rows = [row for arm in study.others if (row := study.contrast(arm.name, task.name, first.name))]
        if first.name in task.unfit and rows:
            yield _unfit_note(task, first, rows)


def _unfit_note(task: TaskView, first: Metric, rows: Sequence[Contrast]) -> str:
    dense = next((show_value(row.dense, first.unit) for row in rows if row.dense is not None), "undefined")
    most = max(rows, key=lambda row: row.n)
    smallest = smallest_rise(most)
    rise = "any rise" if smallest >= 1 else f"a rise below {show_bound(smallest, first.unit)} points"
    heads = "It still heads the task, which has no other such measure."
    if task.headline != first:
        heads = f"So {task.label(task.headline.name).text} heads the task."
    subject = sentence_case(task.label(first.name).text)
    return (
        f"{subject} would miss a fourfold rise in {name(task.name)}: dense has {dense}, "
        f"and {rise} would often be missed with {counted(most.n, 'item')}. {heads}"
    )


def as_ratio(study: StudyView, contrast: Contrast) -> str:
    """Return a gap as ratios, dense's and the arm's: `; ratio 1.210 → 1.172`. Empty for metrics without a ratio."""
    metrics = study.task(contrast.task).metrics
    ratio_metric = next((metric.ratio_metric for metric in metrics if metric.name == contrast.metric), None)
    ratio = study.contrast(contrast.arm, contrast.task, ratio_metric or "", contrast.group)
    if ratio is None or ratio.dense is None or ratio.value is None:
        return ""
    return f"; ratio {ratio.dense:.3f} → {ratio.value:.3f}"
