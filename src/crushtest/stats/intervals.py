"""Intervals from bootstrap values, and in closed form where possible, with the quantiles that they need."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.clusters import Index

Method = Literal["bca", "jackknife"]

UNDEFINED_SHARE = 0.05
"""No interval is given if more than this share of the resamples has no value."""

ONE_CLUSTER = "one cluster only: nothing to resample"
"""Why there is no interval, and no p of one."""

NORMAL_POINTS = 10_000
"""Quantiles that stand for a normal distribution."""


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap distribution, ready to be read at any level.

    values     sorted resampled values, the defined ones
    shift      z0: how far the median of the resamples lies from the estimate, in normal units
    skew       a: acceleration from the jackknife over clusters
    clusters   how many clusters were resampled; few of them make the interval wider (see `_tail`)
    """

    values: Array
    shift: float
    skew: float
    clusters: int

    def interval(self, level: float) -> Interval:
        """Return the two-sided interval of that level."""
        tail = (1 - level) / 2
        return Interval(self._value_at(self._place(tail)), self._value_at(self._place(1 - tail)))

    @property
    def flat(self) -> bool:
        """Return True if every resample gave the same value."""
        return bool(self.values[-1] - self.values[0] <= 1e-12 * max(1.0, abs(self.values[0])))

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided p of a null value: 1 - the level of the interval that reaches it. Jackknife only.

        Never nearer to 0 than half a value of the distribution allows.
        """
        from scipy.special import ndtri

        assert self.shift == 0, "differences that are resampled have their p from exchanged arms"
        below = _wide_cdf(float(ndtri(_share_below(self.values, null))), self.clusters)
        return min(1.0, 2 * min(below, 1 - below))

    def _value_at(self, place: float) -> float:
        """Return the quantile of the sorted values, interpolated."""
        at = place * (len(self.values) - 1)
        return float(
            np.interp(at, [int(at), int(at) + 1], self.values[[int(at), min(int(at) + 1, len(self.values) - 1)]])
        )

    def _place(self, probability: float) -> float:
        """Return the place from 0 to 1 in the sorted values where an end of that one-sided probability stands."""
        from scipy.special import ndtr

        z = self.shift + wide_quantile(probability, self.clusters)
        if self.skew * z >= 1:
            return float(z > 0)
        return float(ndtr(self.shift + z / (1 - self.skew * z)))


def smallest_wide_p(clusters: int) -> float:
    """Return the p of a difference beyond all `NORMAL_POINTS` values of a distribution that is read wider."""
    from scipy.special import ndtri

    return 2 * _wide_cdf(-float(ndtri(1 - 0.5 / NORMAL_POINTS)), clusters)


def wide_quantile(probability: float, clusters: int) -> float:
    """Return Student's quantile at clusters - 1 degrees of freedom, times sqrt(n / (n - 1)).

    Plain bootstrap intervals of few clusters are too narrow by about this factor (Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69, 2015, section 3.3: the expanded percentile interval).
    """
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, probability)) * sqrt(clusters / (clusters - 1))


def _wide_cdf(z: float, clusters: int) -> float:
    """Return the probability whose `wide_quantile` is z."""
    from scipy.special import stdtr

    return float(stdtr(clusters - 1, z / sqrt(clusters / (clusters - 1))))


def _share_below(ordered: Array, bound: float) -> float:
    """Return the share of sorted values below a bound, ties (to rounding) counted half.

    It stays half a value away from 0 and 1, whose normal quantiles are infinite.
    """
    slack = 1e-12 * max(1.0, abs(bound))
    under = int(np.searchsorted(ordered, bound - slack, side="left"))
    upto = int(np.searchsorted(ordered, bound + slack, side="right"))
    half = 0.5 / len(ordered)
    return min(max((under + upto) * half, half), 1 - half)


def distribution(
    estimate: float, values: Array, without: Array, counts: Index, clusters: int, *, method: Method = "bca"
) -> Bootstrap | str:
    """Return the bootstrap distribution of an estimate, or the reason why there is none.

    values    resampled values [replicates], NaN where undefined. The jackknife's distribution is normal and
              does not use them
    without   [units] the values without one cluster of each unit
    counts    [units] how many clusters are of each unit
    """
    if clusters < 2:
        return ONE_CLUSTER
    if method == "jackknife":
        return _jackknife(estimate, without, counts, clusters)
    defined = values[~np.isnan(values)]
    lost = 1 - len(defined) / len(values)
    if lost > UNDEFINED_SHARE:
        return f"undefined in {lost:.0%} of the resamples: too few items to divide by"
    ordered = np.sort(defined)
    from scipy.special import ndtri

    shift = float(ndtri(_share_below(ordered, estimate)))
    return Bootstrap(ordered, shift, acceleration(without, counts), clusters)


def _jackknife(estimate: float, without: Array, counts: Index, clusters: int) -> Bootstrap | str:
    """Return a normal distribution around the estimate with the jackknife's variance.

    The variance is (n - 1) / n sum (theta_i - mean)^2 over the clusters.
    """
    from scipy.special import ndtri

    if np.isnan(without).any():
        return "undefined without one of the clusters: too few items to divide by"
    distance = without - np.average(without, weights=counts)
    deviation = sqrt((clusters - 1) / clusters * float(counts @ distance**2))
    places = (np.arange(NORMAL_POINTS) + 0.5) / NORMAL_POINTS
    return Bootstrap(estimate + deviation * ndtri(places), 0.0, 0.0, clusters)


def acceleration(without: Array, counts: Index) -> float:
    """Return a = sum (mean - theta_i)^3 / 6 (sum (mean - theta_i)^2)^1.5 over the clusters.

    theta_i is the value without cluster i: `without` [units], which `counts` [units] clusters share.
    """
    is_defined = ~np.isnan(without)
    values, weights = without[is_defined], counts[is_defined].astype(np.float64)
    if not weights.sum():
        return 0.0
    distance = np.average(values, weights=weights) - values
    square = float(weights @ distance**2)
    if square <= 1e-24 * max(1.0, float(np.abs(values).max())):
        return 0.0
    cube = float(weights @ distance**3)
    return cube / float(6 * square**1.5)


def clopper_pearson(outcomes: float, items: float, *, level: float) -> Interval:
    """Return the exact interval of a binomial proportion (Clopper and Pearson 1934); the counts need not be whole."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    rest = max(0.0, items - outcomes)
    low = float(betaincinv(outcomes, rest + 1, tail)) if outcomes > 0 else 0.0
    high = float(betaincinv(outcomes + 1, rest, 1 - tail)) if rest > 0 else 1.0
    return Interval(low, high)


def normal_quantile(level: float) -> float:
    """Return z of a two-sided interval of that level."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def student_quantile(level: float, clusters: float) -> float:
    """Return Student's t of a two-sided interval of that level, at clusters - 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, (1 + level) / 2))
