"""Which metrics are resampled: those with an interval that reads the resamples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crushtest.metrics import Array, Metric, ratio
from crushtest.stats.clusters import ClusterTotals
from crushtest.stats.item_sums import Sums
from crushtest.stats.metric_kind import shape_of
from crushtest.stats.resample import arms_of
from crushtest.stats.shared import Mask

SURELY_DRAWN = 50
"""A resample lacks all of so many clusters with a chance below exp(-50)."""


def needed(
    metrics: Sequence[Metric],
    units: ClusterTotals,
    arms: Sequence[Sequence[Sums]],
    used: Sequence[Mask],
    possible: Sequence[Array | None],
) -> list[int]:
    """Return the places of the metrics that are resampled; the arguments are those of `Sample`.

    A jackknife, a closed form and a formula with draws of its own read no resamples. The interval of few possible
    values reads only how many of them are undefined.
    """

    def is_read(place: int, metric: Metric) -> bool:
        if metric.interval != "bootstrap" or metric.with_rest:
            return metric.interval == "bootstrap"
        if metric.item_sums or (possible[place] is not None and always_defined(metric, units, place)):
            return False
        return not all(shape_of(metric, arm[place], used[place]) == "rate" for arm in arms)

    return [place for place, metric in enumerate(metrics) if is_read(place, metric)]


def always_defined(metric: Metric, units: ClusterTotals, place: int) -> bool:
    """Return True if no resample leaves the metric at this place undefined in a group that has items of it.

    That is certain where many clusters hold something of whatever the formula divides by.
    """
    names = metric.columns[1:] if metric.formula is ratio else metric.divides_by
    if names is None:
        return False
    divisors = np.array([metric.columns.index(name) for name in names])
    for rows in units.groups:
        part, counts = rows.parts[place], units.counts[rows.units]
        for arm in range(arms_of(units.groups) if part.clusters else 0):
            totals = rows.columns[:, arm * rows.width + part.start + divisors]
            if (totals < 0).any() or (counts @ (totals > 0) < SURELY_DRAWN).any():
                return False
    return True
