"""How far a row's value, or its difference from dense, could have come out otherwise: which interval it gets.

One rule, which looks at the kind of the metric and at how much changed, never at the direction:

- a rate has an interval in closed form (`rates`);
- a score of answers that take few values has the jackknife's, with unseen clusters added (`few_valued`), and so has a
  mean where fewer than `FEW_CHANGED` clusters changed, and not all of them;
- a formula over counts of outcomes has a cluster bootstrap that reckons with unseen ones (`outcome_bootstrap`);
- a gap has what the intervals of its groups leave open (`gaps`);
- the mean over several draws of an arm has what the intervals and the values of the draws leave open (`draws`);
- anything else has a BCa bootstrap, or none where fewer clusters changed or all resamples are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crushtest.metrics import Array
from crushtest.results import DrawSpread, Interval
from crushtest.stats.clusters import Index
from crushtest.stats.draws import TwoSources, draw_values, narrowing
from crushtest.stats.few_valued import FewValued, unseen_influences
from crushtest.stats.gaps import gap_change_interval, gap_interval
from crushtest.stats.intervals import ONE_CLUSTER, UNDEFINED_SHARE, Bootstrap, Method, distribution
from crushtest.stats.outcome_bootstrap import resample_outcomes
from crushtest.stats.rates import PairedCounts, RateCounts, paired_interval, rate_interval
from crushtest.stats.slices import Slice, difference

FEW_CHANGED = 8
ALL_ALIKE = "every resample gave the same value, which says nothing of clusters not seen here"
DIVIDES_BY_LITTLE = "undefined without one of the clusters: too few items to divide by"
DIFFERENCE, SUM = (-1.0, 1.0), (1.0, 1.0)
"""What is made of two arms' values: arm - dense, or dense + arm."""


@dataclass(frozen=True)
class Uncertainty:
    """The two-sided interval of any level, which holds the estimate, and how it is made."""

    method: str
    interval: Callable[[float], Interval]


def uncertainty(slice_: Slice, *, combine: tuple[float, float] = DIFFERENCE) -> Uncertainty | str:
    """Return the uncertainty of a slice, of one arm or of two combined, or why there is none."""
    if slice_.draws:
        unbounded = _of_draws(slice_, combine)
    else:
        unbounded = _of_gap(slice_) if slice_.kind == "gap" else _of_group(slice_, combine)
    if isinstance(unbounded, str) or slice_.bounds is None:
        return unbounded
    low, high = slice_.bounds
    if not slice_.is_paired:
        return _within(unbounded, low, high)
    return _within(unbounded, 2 * low, 2 * high) if combine == SUM else _within(unbounded, low - high, high - low)


def distance_interval(slice_: Slice, difference_interval: Interval) -> Interval | None:
    """Return an interval that is above 0 where a clear difference leads away from 0, and below 0 where it leads nearer.

    |arm| exceeds |dense| exactly where arm - dense and arm + dense have the same sign. So this is the interval of the
    sum, with the sign of the difference: |arm| - |dense| itself has a kink, at which no resampling keeps its level.
    """
    if slice_.kind == "rate":
        return difference_interval
    of_sum = uncertainty(slice_, combine=SUM)
    if isinstance(of_sum, str):
        return None
    low, high = of_sum.interval(0.95)
    return Interval(low, high) if difference_interval.low >= 0 else Interval(-high, -low)


def _within(inner: Uncertainty, lowest: float, highest: float) -> Uncertainty:
    """Cut intervals to the values that the statistic can take."""

    def interval(level: float) -> Interval:
        low, high = inner.interval(level)
        return Interval(max(low, lowest), min(high, highest))

    return replace(inner, interval=interval)


def _of_group(slice_: Slice, combine: tuple[float, float]) -> Uncertainty | str:
    if slice_.clusters < 2:
        return ONE_CLUSTER
    if slice_.kind == "rate":
        return _of_rate(slice_)
    if slice_.kinds:
        return _of_outcomes(slice_, combine)
    few_changed = (
        combine == DIFFERENCE
        and slice_.is_paired
        and not slice_.jackknife
        and slice_.changed_clusters < min(FEW_CHANGED, slice_.clusters)
    )
    values = slice_.extremes if slice_.possible is None and few_changed else slice_.possible
    if values is not None:
        return _of_few_values(slice_, values, combine)
    if few_changed:
        changed = slice_.changed_clusters
        return f"only {changed} clusters changed, which says nothing of the others" if changed else ALL_ALIKE
    return _of_resamples(slice_, combine)


def _of_rate(slice_: Slice) -> Uncertainty:
    place = slice_.place
    items = np.bincount(place).astype(np.float64)
    if not slice_.is_paired:
        counts = RateCounts(_totals(place, slice_.columns[0][:, 0]), items)
        return Uncertainty(
            f"exact, at the effective number of {slice_.sampled}", lambda level: rate_interval(counts, level=level)
        )
    change = slice_.columns[1][:, 0] - slice_.columns[0][:, 0]
    up, down = (_totals(place, (sign * change > 0).astype(np.float64)) for sign in (1, -1))
    paired = PairedCounts(up, down, items)
    return Uncertainty(
        f"score, at the effective number of {slice_.sampled}", lambda level: paired_interval(paired, level=level)
    )


def _of_outcomes(slice_: Slice, combine: tuple[float, float]) -> Uncertainty | str:
    drawn = resample_outcomes(slice_, combine)
    if isinstance(drawn, str):
        return drawn
    return Uncertainty(f"bootstrap over {slice_.sampled}, unseen outcomes added", drawn.interval)


def _of_few_values(slice_: Slice, values: Array, combine: tuple[float, float]) -> Uncertainty | str:
    """Return the jackknife's intervals, with clusters added whose items have one of these sums [values, k]."""
    lost = float(np.isnan(_combined(slice_.values, combine)).mean()) if slice_.values.size else 0.0
    if lost > UNDEFINED_SHARE:
        return f"undefined in {lost:.0%} of the resamples: too few items to divide by"
    estimate, without = (_combined(array, combine) for array in (slice_.observed, slice_.without))
    if np.isnan(without).any():
        return DIVIDES_BY_LITTLE
    influences = np.repeat((slice_.clusters - 1) * (estimate - without), slice_.counts)
    sizes = np.bincount(slice_.place).astype(np.float64)
    per_cluster = float(sizes @ sizes / sizes.sum())  # as an item meets them: what a large cluster does is not unseen
    unseen = [
        sign * unseen_influences(slice_.formula, columns.sum(axis=0), values, per_cluster, slice_.clusters)
        for sign, columns in zip(combine if slice_.is_paired else (1.0,), slice_.columns, strict=True)
    ]
    few = FewValued(float(estimate), influences, np.stack(unseen), slice_.clusters)
    return Uncertainty("jackknife over clusters, unseen ones added", few.interval) if few.varies else ALL_ALIKE


def _of_resamples(slice_: Slice, combine: tuple[float, float]) -> Uncertainty | str:
    arrays = (slice_.observed, slice_.values, slice_.without)
    observed, values, without = (_combined(array, combine) for array in arrays)
    estimate = float(observed)
    method: Method = "jackknife" if slice_.jackknife else "bca"
    resampled = distribution(estimate, values, without, slice_.counts, slice_.clusters, method=method)
    if isinstance(resampled, str):
        return resampled
    if resampled.flat:
        return ALL_ALIKE
    if slice_.jackknife:
        return Uncertainty(f"jackknife over {slice_.sampled}", resampled.interval)
    students = distribution(estimate, values, without, slice_.counts, slice_.clusters, method="jackknife")
    if slice_.kind != "mean" or isinstance(students, str):
        return Uncertainty(f"BCa bootstrap over {slice_.sampled}", _hull(estimate, resampled))
    return Uncertainty(f"BCa bootstrap and Student's t over {slice_.sampled}", _hull(estimate, resampled, students))


def _hull(estimate: float, *distributions: Bootstrap) -> Callable[[float], Interval]:
    """Return intervals that hold the estimate and the intervals of all these distributions.

    A mean of which few items change, up as often as down, has resamples that are too close together. Student's t
    covers there, and the bootstrap where the numbers are skewed.
    """

    def interval(level: float) -> Interval:
        lows, highs = zip(*(each.interval(level) for each in distributions), strict=True)
        return Interval(min(estimate, *lows), max(estimate, *highs))

    return interval


def two_sources(slice_: Slice, *, combine: tuple[float, float] = DIFFERENCE) -> tuple[TwoSources, str] | str:
    """Return what items and draws leave open of a mean over draws, and the method, or why a draw has no interval."""
    parts = [uncertainty(draw, combine=combine) for draw in slice_.draws]
    for part in parts:
        if isinstance(part, str):
            return part
    singles = [part for part in parts if not isinstance(part, str)]
    sources = TwoSources(
        estimate=float(_combined(slice_.observed, combine)),
        values=np.array([float(_combined(draw.observed, combine)) for draw in slice_.draws]),
        intervals=lambda level: [single.interval(level) for single in singles],
        narrowing=narrowing([_combined(draw.without, combine) for draw in slice_.draws], slice_.counts),
    )
    return sources, singles[0].method


def draw_spread(slice_: Slice, verdicts: Sequence[str] = ()) -> DrawSpread | None:
    """Return how the draws of a slice differ; None for a single draw. `verdicts` are what each alone says."""
    if not slice_.draws:
        return None
    sources = two_sources(slice_)
    share = None if isinstance(sources, str) else sources[0].share()
    values = draw_values(slice_)
    return DrawSpread(
        count=len(values),
        deviation=float(values.std(ddof=1)),
        share=share,
        values=tuple(map(float, values)),
        verdicts=tuple(verdicts),
    )


def _of_draws(slice_: Slice, combine: tuple[float, float]) -> Uncertainty | str:
    found = two_sources(slice_, combine=combine)
    if isinstance(found, str):
        return found
    sources, method = found
    return Uncertainty(f"{method}; Student's t between {len(slice_.draws)} draws", sources.interval)


def _of_gap(slice_: Slice) -> Uncertainty | str:
    """Return what intervals of all groups that hold together leave open.

    Bonferroni's correction is over the groups, and over the three intervals per group of two arms.
    """
    parts = [part for part in slice_.parts if not np.isnan(part.observed).all()]
    singles: list[list[Uncertainty]] = []
    for part in parts:
        intervals = (
            (uncertainty(part), *(uncertainty(part.of_arm(arm)) for arm in (0, 1)))
            if slice_.is_paired
            else (uncertainty(part),)
        )
        for single in intervals:
            if isinstance(single, str):
                return f"no interval for {part.group}: {single}"
        singles.append([single for single in intervals if not isinstance(single, str)])

    def interval(level: float) -> Interval:
        single_level = 1 - (1 - level) / (len(singles) * len(singles[0]))
        bands = [
            np.array([single.interval(single_level) for single in column]) for column in zip(*singles, strict=True)
        ]
        return gap_change_interval(*bands) if slice_.is_paired else gap_interval(bands[0])

    return Uncertainty(f"band over {len(parts)} groups", interval)


def _totals(place: Index, values: Array) -> Array:
    """Return sums [clusters] of values [items], whose cluster is `place` [items]."""
    return np.bincount(place, weights=values).astype(np.float64)


def _combined(arms: Array, combine: tuple[float, float]) -> Array:
    """Return values [...] of arms [arms, ...]: one arm as it is, two combined."""
    if combine == DIFFERENCE and len(arms) == 2:
        return difference(arms)
    total: Array = arms.sum(axis=0)
    return total
