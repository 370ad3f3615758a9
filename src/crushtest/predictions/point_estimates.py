"""Compute metric values without intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from crushtest.metrics import ALL, Array, Metric
from crushtest.records import Answer, Item
from crushtest.stats.clusters import Index
from crushtest.stats.item_sums import Scores, Sums, measure_sums


class PointEstimate(NamedTuple):
    """A metric in a group. `value` is None if it is undefined, and `reason` says why; `n` counts scored items."""

    metric: str
    group: str
    value: float | None
    n: int
    n_unscored: int
    reason: str | None


def point_estimates(
    metrics: Sequence[Metric], items: Sequence[Item], answers: Mapping[str, Answer], scores: Scores | None = None
) -> list[PointEstimate]:
    """Return every metric for `all` and for each of the items' groups that it is reported for."""
    groups: dict[str, list[int]] = {ALL: list(range(len(items)))}
    for row, item in enumerate(items):
        for group in item.groups:
            groups.setdefault(group, []).append(row)
    return [
        _point_estimate(metric, group, sums, items, np.array(rows, np.int64))
        for metric in metrics
        for sums in [measure_sums(metric, items, answers, scores or {})]
        for group, rows in groups.items()
        if metric.groups(group)
    ]


def _point_estimate(metric: Metric, group: str, sums: Sums, items: Sequence[Item], rows: Index) -> PointEstimate:
    applies, scored = int(sums.applies[rows].sum()), rows[sums.scored[rows]]
    value: float | None = None
    reason: str | None = None
    if len(scored):
        with np.errstate(all="ignore"):
            number = float(metric.formula(*_totals(metric, sums, items, scored)))
        value, reason = (number, None) if np.isfinite(number) else (None, metric.undefined_reason)
    elif applies:
        reason = f"none of {applies} items has a number: {sums.unscored(rows) or 'not answered'}"
    else:
        reason = "the metric applies to no item of this group"
    return PointEstimate(metric.name, group, value, len(scored), applies - len(scored), reason)


def _totals(metric: Metric, sums: Sums, items: Sequence[Item], rows: Index) -> list[Array]:
    """Return the columns' totals, with an axis for each part of a cell's name if the metric has cells."""
    columns = sums.columns[rows]
    if metric.cell_of is None:
        return list(columns.sum(axis=0))
    names = [metric.cell_of(items[row]) for row in rows]
    axes = list(zip(*((name,) if isinstance(name, str) else name for name in names), strict=True))
    places = [np.unique(axis, return_inverse=True) for axis in axes]
    totals = []
    for column in columns.T:
        total = np.zeros([len(present) for present, _ in places])
        np.add.at(total, tuple(indices for _, indices in places), column)
        totals.append(total)
    return totals
