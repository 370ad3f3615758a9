"""Intervals and p of rates over clusters, in closed form.

A bootstrap of a rate fails where next to nothing or nearly everything happens: when every resample is alike it says
that nothing could have come out otherwise, and one changed item is enough for it to exclude 0. Score intervals hold
there. They are made for independent items, so the counts are scaled down to the number of independent items that
would vary as much as these clusters do.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.intervals import clopper_pearson, normal_quantile, student_quantile

PRIOR_CLUSTERS = 2.0
"""How many clusters the belief that items of a cluster move together is worth, against what the data show."""
FEWEST_TESTABLE = 6
"""With fewer clusters no exact two-sided test of paired answers can reach 5%: its smallest p is 2 / 2^clusters."""
SHOWN_IN_FULL = 0.25
"""A cluster shows how its items move together once this share of them has the outcome, and in part with fewer."""
INFLATION = 2.0
"""An estimated design effect is multiplied by 1 + INFLATION / sqrt(clusters): it is itself uncertain."""


MOST_STEPS = 20_000
"""The exact distribution of signs is not computed if the net changes add up to more than this."""


class RateCounts(NamedTuple):
    """Counts [clusters] of one arm: items with the outcome, and scored items (at least one)."""

    outcomes: Array
    items: Array


class PairedCounts(NamedTuple):
    """Counts [clusters] of two arms: items whose outcome appeared, vanished, and scored items (at least one)."""

    up: Array
    down: Array
    items: Array


def rate_interval(counts: RateCounts, *, level: float) -> Interval:
    """Return the interval of a rate: Clopper and Pearson's at the effective number of items.

    Source: Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24, 1998. Deviation: the design effect is shrunk and inflated (see
    `_items_per_independent_one`).
    """
    total = float(counts.items.sum())
    rate = float(counts.outcomes.sum()) / total
    informative = _informative_clusters(counts.outcomes, counts.items)
    residuals = counts.outcomes - rate * counts.items
    squares = float(residuals @ residuals)
    scale = _design_effect(squares, rate * (1 - rate), counts.items, informative, level=level)
    effective = total / scale.items / scale.widening**2
    return clopper_pearson(rate * effective, effective, level=level)


def paired_interval(counts: PairedCounts, *, level: float) -> Interval:
    """Return the interval of a difference of two rates on the same items.

    It is Tango's score interval at the effective number of items, and at least as wide as the exact interval of the
    commoner direction of change. Where that number is the n clusters themselves, Tango's ends are +- z^2 / (n + z^2)
    with nothing changed, and (n - z^2) / (n + z^2) and 1 with everything changed. The exact ones with nothing changed
    are +- (1 - (alpha / 2)^(1 / n)), and at 95% the wider below 46 clusters.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 17, 1998. The exact interval mends the dip of score intervals near 0 and 1.
    """
    total, up, down = (float(column.sum()) for column in (counts.items, counts.up, counts.down))
    residuals = counts.up - counts.down - (up - down) / total * counts.items
    informative = _informative_clusters(counts.up + counts.down, counts.items)
    return paired_interval_of(up, down, float(residuals @ residuals), counts.items, informative, level=level)


def informative_share(counts: PairedCounts) -> float:
    """Return what share of the clusters shows how its items move together."""
    return _informative_clusters(counts.up + counts.down, counts.items) / len(counts.items)


def paired_interval_of(
    up: float, down: float, squares: float, items: Array, informative: float, *, level: float
) -> Interval:
    """Return the interval that `paired_interval` gives to clusters of so many `items` [clusters].

    up, down      items whose outcome appeared, and vanished
    squares       sum of the squared residuals of the clusters' totals
    informative   how many clusters show how their items move together
    """
    total = float(items.sum())
    mean = (up - down) / total
    scale = _design_effect(squares, (up + down) / total - mean**2, items, informative, level=level)
    effective = total / scale.items / scale.widening**2
    tango = _tango(up / scale.items, down / scale.items, total / scale.items, scale.widening * normal_quantile(level))
    most_up = clopper_pearson(up / total * effective, effective, level=level).high - down / total
    most_down = clopper_pearson(down / total * effective, effective, level=level).high - up / total
    return Interval(max(-1.0, min(tango.low, -most_down)), min(1.0, max(tango.high, most_up)))


def mcnemar(up: int, down: int) -> float:
    """Return McNemar's exact two-sided p (1947): that of so uneven a split of up + down tosses of a fair coin.

    >>> mcnemar(6, 0), mcnemar(3, 3)
    (0.03125, 1.0)
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(up, down), up + down, 0.5))) if up + down else 1.0


def sign_test(net: Array) -> float | None:
    """Return the exact two-sided p of net changes [clusters] when the sign of each is a coin toss.

    This is the exchange of the arms within clusters, carried out in full. With single items it is McNemar's exact
    test (1947). None where the changes add up to more than `MOST_STEPS`.
    """
    sizes, counts = np.unique(np.abs(net[net != 0]).astype(np.int64), return_counts=True)
    if len(sizes) > 1 and int(sizes @ counts) > MOST_STEPS:
        return None
    if len(sizes) <= 1:
        return mcnemar(int((net > 0).sum()), int((net < 0).sum()))
    chance = np.ones(1)  # of a sum of -(len - 1) / 2, ..., (len - 1) / 2
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        chance = np.convolve(chance, _signed_sums(size, count))
    middle = len(chance) // 2
    reached = abs(int(net.sum()))
    return float(min(1.0, chance[: middle - reached + 1].sum() + chance[middle + reached :].sum())) if reached else 1.0


def _signed_sums(size: int, count: int) -> Array:
    """Return the chances of `count` signs times `size` adding up to -size * count, ..., size * count."""
    from scipy.stats import binom

    chances = np.zeros(2 * size * count + 1)
    chances[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
    return chances


class _DesignEffect(NamedTuple):
    """How many items are worth one independent item, and by what to widen an interval because that is estimated."""

    items: float
    widening: float


def _informative_clusters(outcomes: Array, items: Array) -> float:
    """Return how many clusters show the outcome, or its absence where that is rarer.

    Single changed items in forty clusters of many do not rule out that a few other clusters change as a whole.
    """
    share = outcomes / items
    return min(float(np.minimum(1.0, rarer / SHOWN_IN_FULL).sum()) for rarer in (share, 1 - share))


def _design_effect(
    squares: float, item_variance: float, items: Array, informative: float, *, level: float
) -> _DesignEffect:
    """Return the design effect of these clusters, from the sum of the squared residuals of their totals.

    It is between 1 and that of clusters whose items all move together (Kish: sum of squared sizes / items). The
    estimate is pulled towards the latter by `PRIOR_CLUSTERS`, against the clusters that are `informative`: one changed
    item in the whole sample says nothing of how they move. Where it is an estimate, and for fewer than
    `FEWEST_TESTABLE` clusters, Student's t takes the place of z.
    """
    clusters, total = len(items), float(items.sum())
    most = float(items @ items) / total
    estimate = 1.0
    if item_variance > 0:
        variance = squares / total * clusters / (clusters - 1)
        estimate = variance / item_variance * (1 + INFLATION / sqrt(clusters))
    shrunk = (informative * estimate + PRIOR_CLUSTERS * most) / (informative + PRIOR_CLUSTERS)
    estimated = shrunk < most or clusters < FEWEST_TESTABLE
    widening = student_quantile(level, clusters) / normal_quantile(level) if estimated else 1.0
    return _DesignEffect(min(max(shrunk, 1.0), most), widening)


def _tango(up: float, down: float, pairs: float, z: float) -> Interval:
    def inside(difference: float) -> bool:
        linear = (2 * pairs - up + down) * difference - up - down
        constant = -down * difference * (1 - difference)
        chance_down = (sqrt(max(0.0, linear**2 - 8 * pairs * constant)) - linear) / (4 * pairs)
        variance = pairs * (2 * chance_down + difference * (1 - difference))
        return (up - down - pairs * difference) ** 2 <= z * z * max(0.0, variance)

    estimate = (up - down) / pairs
    return Interval(_edge(inside, estimate, -1.0), _edge(inside, estimate, 1.0))


def _edge(inside: Callable[[float], bool], within: float, beyond: float) -> float:
    """Return where `inside` ends between a number within and one that may lie beyond, by bisection."""
    for _ in range(60):
        middle = (within + beyond) / 2
        within, beyond = (middle, beyond) if inside(middle) else (within, middle)
    return within
