"""The metric that stands for a task where there is room for only one, and its contrasts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from crushtest.metrics import ALL, READ, Metric, with_read
from crushtest.results import Contrast
from crushtest.stats.rates import FEWEST_TESTABLE, PairedCounts, paired_interval
from crushtest.stats.significance import detectable, testable_change
from crushtest.study.plan import PlannedTask
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


MOST_HEADLINES = 6
"""A headline that is reported by group only is shown in this many groups at most."""


def shown_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """Return the groups in which a measure is shown: `all`, or each of a few if it has no pooled row."""
    listed = tuple(groups)
    if ALL in listed:
        return (ALL,)
    grouped = tuple(group for group in listed if "=" in group)  # not the attributes of gaps and worst groups
    return grouped if len(grouped) <= MOST_HEADLINES else ()


def headline_metrics(task: Task, first: Metric) -> tuple[Metric, ...]:
    """Return every metric that heads a task: the first, others that it declares, the share of replies with a letter."""
    others = [each for each in with_read(task.metrics) if each.name in task.also_headline and each != first]
    if first.reads is not None:
        others += [each for each in with_read(task.metrics) if each.reads == "reply"]
    return (first, *others)


class Heading(NamedTuple):
    """A contrast in a metric that heads a task."""

    planned: PlannedTask
    metric: Metric
    row: Contrast


def headings(tasks: Iterable[PlannedTask], contrasts: Sequence[Contrast]) -> list[Heading]:
    """Return every arm in every headline, from the contrasts against one arm: the family of the first sentence."""
    headed = []
    for planned in tasks:
        rows = [row for row in contrasts if row.task == planned.name]
        pooled = [row for row in rows if row.group == ALL]
        unfit = {metric.name for metric in with_read(planned.task.metrics) if fourfold_missed(metric, pooled)}
        first = headline(planned.task, unfit, {row.metric for row in rows if row.dense is not None})
        for metric in headline_metrics(planned.task, first):
            groups = shown_groups(dict.fromkeys(row.group for row in rows if row.metric == metric.name))
            headed += [
                Heading(planned, metric, row) for row in rows if row.metric == metric.name and row.group in groups
            ]
    return headed
