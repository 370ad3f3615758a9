"""Several draws of one arm: the same recipe on other calibration text, or other seeds of sampled completions.

A statistic is the mean over the draws. Two things could have come out otherwise: the items, and the draws. Both arms
of all draws are resampled together, so the first is what the row's own interval says of each draw, narrowed by what a
mean over draws leaves of it. The second is Student's t of the draws' values. The half-widths add up in quadrature at
each end: with draws that agree the items' interval stands as it is, and with items that tell nothing apart it is the t
interval of the draws.

Source: Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27, 2008
(limits of a sum recovered from the limits of its parts). What one draw does to one item is in both parts, so that it
counts twice: that is the safe side, and it costs little (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot, sqrt

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Flips, Interval
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import GroupTotals, Index, Layout
from crushtest.stats.intervals import normal_quantile, student_quantile
from crushtest.stats.item_sums import Sums
from crushtest.stats.resample import Values
from crushtest.stats.sample import MetricSlices, Sample, exchanges
from crushtest.stats.slices import Slice, difference


@dataclass(frozen=True)
class Draws:
    """The samples of an arm's draws, alone or each with the arm that it is compared with, resampled together."""

    samples: tuple[Sample, ...]

    @classmethod
    def draw(
        cls,
        asked: Asked,
        arms: Sequence[Sequence[Sequence[Sums]]],
        *,
        seed: int,
        replicates: int,
    ) -> Draws:
        """Resample the clusters of one or two arms, each a list of as many draws, whose sums are by metric.

        Only items that have a number in every draw of both count.
        """
        if len(arms[0]) == 1:
            sums = [draws[0] for draws in arms]
            return cls((Sample.draw(asked, sums, seed=seed, replicates=replicates),))
        together = [sums for draws in arms for sums in draws]
        whole = Sample.draw(asked, together, seed=seed, replicates=replicates)
        count = len(arms[0])
        places = [[number + arm * count for arm in range(len(arms))] for number in range(count)]
        return cls(tuple(_of_arms(whole, at, seed=seed, replicates=replicates, draws=count) for at in places))

    @property
    def layout(self) -> Layout:
        """How the items fall into clusters and groups."""
        return self.samples[0].layout

    @cached_property
    def mean(self) -> Sample:
        """Return the sample of a single draw, or the first one's with every item's sums averaged over the draws."""
        first = self.samples[0]
        if len(self.samples) == 1:
            return first
        arms = [
            [_mean_sums([sample.arms[arm][m] for sample in self.samples]) for m in range(len(first.metrics))]
            for arm in range(len(first.arms))
        ]
        return replace(first, arms=arms)

    def slices(self, metric: int) -> MetricSlices:
        """Return a metric's slices of the means over the draws; those of a single draw as they are."""
        each = [sample.slices(metric) for sample in self.samples]
        if len(each) == 1:
            return each[0]
        return MetricSlices(*(tuple(map(mean_slice, zip(*kind, strict=True))) for kind in zip(*each, strict=True)))


def _of_arms(whole: Sample, at: Sequence[int], *, seed: int, replicates: int, draws: int) -> Sample:
    """Return the sample of one or two of the arms that were resampled together, in ascending order."""
    step = slice(at[0], at[-1] + 1, max(1, at[-1] - at[0]))
    units = replace(whole.units, groups=tuple(_columns_of(rows, at) for rows in whole.units.groups))
    observed = Values(whole.observed.groups[:, step], whole.observed.rests[:, step])
    return replace(
        whole,
        arms=[whole.arms[arm] for arm in at],
        units=units,
        observed=observed,
        values=lambda metric: whole.values(metric).of_arms(step),
        exchanged=exchanges(whole.metrics, units, seed=seed, replicates=replicates, share=draws),
    )


def _columns_of(rows: GroupTotals, at: Sequence[int]) -> GroupTotals:
    blocks = [rows.columns[:, arm * rows.width : (arm + 1) * rows.width] for arm in at]
    return replace(rows, columns=np.concatenate(blocks, axis=1))


def _mean_sums(draws: Sequence[Sums]) -> Sums:
    columns: Array = np.mean([sums.columns for sums in draws], axis=0)
    return replace(draws[0], columns=columns)


def mean_slice(draws: Sequence[Slice]) -> Slice:
    """Return the slice of the mean over draws."""
    first = draws[0]

    def mean(arrays: Sequence[Array]) -> Array:
        total: Array = np.mean(arrays, axis=0)
        return total

    columns = tuple(map(mean, zip(*(draw.columns for draw in draws), strict=True)))
    return replace(
        first,
        observed=mean([draw.observed for draw in draws]),
        values=mean([draw.values for draw in draws]),
        without=mean([draw.without for draw in draws]),
        exchanged=mean([draw.exchanged for draw in draws]),
        columns=columns,
        parts=(),
        draws=tuple(draws),
    )


# ---- two sources of uncertainty ---------------------------------------------------------------------


@dataclass(frozen=True)
class TwoSources:
    """What items and draws leave open of a mean over draws.

    estimate   the mean
    values     [draws] those of single draws
    intervals  of each draw, for a level: what other items could have given
    narrowing  by how much a mean over the draws varies less with the items than a draw does; at most 1
    """

    estimate: float
    values: Array
    intervals: Callable[[float], Sequence[Interval]]
    narrowing: float

    @property
    def draw_error(self) -> float:
        """Return the standard error of the mean that other draws leave open."""
        return float(self.values.std(ddof=1)) / sqrt(len(self.values))

    def interval(self, level: float) -> Interval:
        """Return the two-sided interval of that level. It holds the estimate."""
        below, above = self._of_items(level)
        of_draws = student_quantile(level, len(self.values)) * self.draw_error
        return Interval(self.estimate - hypot(below, of_draws), self.estimate + hypot(above, of_draws))

    def p(self) -> float:
        """Return the two-sided p of 0: at most 0.05 exactly where the 95% interval excludes 0.

        The items' part is taken as normal, with the standard error that their 95% interval has towards 0.
        """
        from scipy.optimize import brentq

        below, above = self._of_items(0.95)
        error = (below if self.estimate > 0 else above) / normal_quantile(0.95)

        def excess(tail: float) -> float:
            level = 1 - 10**tail
            half = hypot(normal_quantile(level) * error, student_quantile(level, len(self.values)) * self.draw_error)
            return half - abs(self.estimate)

        if excess(-1e-9) >= 0:
            return 1.0
        least = -10.0
        return float(10 ** (least if excess(least) <= 0 else brentq(excess, least, -1e-9, xtol=1e-12)))

    def share(self) -> float | None:
        """Return the share of the variance of the mean that is due to the draws; None if nothing varies."""
        of_items = sum(self._of_items(0.95)) / 2 / normal_quantile(0.95)
        total = of_items**2 + self.draw_error**2
        return self.draw_error**2 / total if total else None

    def _of_items(self, level: float) -> tuple[float, float]:
        ends = np.array(self.intervals(level))
        below, above = self.narrowing * (self.values - ends[:, 0]), self.narrowing * (ends[:, 1] - self.values)
        return float(below.mean()), float(above.mean())


def narrowing(each: Sequence[Array], counts: Index) -> float:
    """Return the standard error of a mean over draws that resampled items leave, over the mean of the draws' own.

    each   per draw, its values [units] with one cluster left out; `counts` [units] how many clusters a unit is
    """
    if not each[0].size or any(np.isnan(without).any() for without in each):
        return 1.0
    own = float(np.mean([_deviation(without, counts) for without in each]))
    return min(1.0, _deviation(np.mean(each, axis=0), counts) / own) if own else 1.0


def _deviation(without: Array, counts: Index) -> float:
    distance = without - np.average(without, weights=counts)
    return sqrt(float(counts @ distance**2))


# ---- what a row says of its draws ---------------------------------------------------------------------


def draw_values(slice_: Slice) -> Array:
    """Return the values [draws] of an arm, or its differences."""
    return np.array([float(difference(d.observed)) if d.is_paired else float(d.observed[0]) for d in slice_.draws])


def middle_flips(draws: Sequence[Flips]) -> Flips:
    """Return the flips of the draw in the middle by their number, the larger of two: counts have no mean."""
    ordered = sorted(draws, key=lambda flips: (flips.total or 0, flips.up or 0))
    return ordered[len(ordered) // 2]
