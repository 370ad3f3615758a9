"""Intervals from bootstrap values, and in closed form where there is one."""

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
"""An interval is not given where more than this share of the resamples has no value."""

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
        """The two-sided interval of that level."""
        tail = (1 - level) / 2
        return Interval(self._value_at(self._place(tail)), self._value_at(self._place(1 - tail)))

    @property
    def flat(self) -> bool:
        """Whether every resample gave the same value."""
        return bool(self.values[-1] - self.values[0] <= 1e-12 * max(1.0, abs(self.values[0])))

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of a null value: 1 - the level of the interval that just reaches it. For the jackknife alone.

        Never nearer to 0 than half a value of the distribution allows.
        """
        from scipy.special import ndtri

        assert self.shift == 0, "differences that are resampled have their p from exchanged arms"
        below = _wide_cdf(float(ndtri(_share_below(self.values, null))), self.clusters)
        return min(1.0, 2 * min(below, 1 - below))

    def _value_at(self, place: float) -> float:
        """The quantile of the sorted values, interpolated."""
        at = place * (len(self.values) - 1)
        return float(
            np.interp(at, [int(at), int(at) + 1], self.values[[int(at), min(int(at) + 1, len(self.values) - 1)]])
        )

    def _place(self, probability: float) -> float:
        """Where in the sorted values an end of that one-sided probability stands."""
        from scipy.special import ndtr

        z = self.shift + wide_quantile(probability, self.clusters)
        if self.skew * z >= 1:
            return float(z > 0)
        return float(ndtr(self.shift + z / (1 - self.skew * z)))


def wide_quantile(probability: float, clusters: int) -> float:
    """Student's quantile at clusters - 1 degrees of freedom, times sqrt(n / (n - 1)).

    Plain bootstrap intervals are too narrow by about that with few clusters (Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69, 2015, section 3.3: the expanded percentile interval).
    """
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, probability)) * sqrt(clusters / (clusters - 1))


def _wide_cdf(z: float, clusters: int) -> float:
    """The probability whose `wide_quantile` is z."""
    from scipy.special import stdtr

    return float(stdtr(clusters - 1, z / sqrt(clusters / (clusters - 1))))


def _share_below(ordered: Array, bound: float) -> float:
    """Share of sorted values below a bound, ties (to rounding) counted half; at least half a value from 0 and 1."""
    slack = 1e-12 * max(1.0, abs(bound))
    under = int(np.searchsorted(ordered, bound - slack, side="left"))
    upto = int(np.searchsorted(ordered, bound + slack, side="right"))
    half = 0.5 / len(ordered)
    return min(max((under + upto) * half, half), 1 - half)


def distribution(
    estimate: float, values: Array, without: Array, counts: Index, clusters: int, *, method: Method = "bca"
) -> Bootstrap | str:
    """The bootstrap distribution of an estimate, or the reason why there is none.

    values    resampled values, NaN where undefined; not used for the jackknife, whose distribution is normal
    without   the values without each unit's cluster (jackknife); counts: how many clusters are of each unit
    """
    if clusters < 2:
        return "one cluster only: nothing to resample"
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
    """A normal distribution around the estimate with the jackknife's variance, (n - 1) / n sum (theta_i - mean)^2."""
    from scipy.special import ndtri

    if np.isnan(without).any():
        return "undefined without one of the clusters: too few items to divide by"
    distance = without - np.average(without, weights=counts)
    deviation = sqrt((clusters - 1) / clusters * float(counts @ distance**2))
    places = (np.arange(NORMAL_POINTS) + 0.5) / NORMAL_POINTS
    return Bootstrap(estimate + deviation * ndtri(places), 0.0, 0.0, clusters)


def acceleration(without: Array, counts: Index) -> float:
    """a = sum (mean - theta_i)^3 / 6 (sum (mean - theta_i)^2)^1.5 over the clusters."""
    known = ~np.isnan(without)
    values, weights = without[known], counts[known].astype(np.float64)
    if not weights.sum():
        return 0.0
    distance = np.average(values, weights=weights) - values
    square = float(weights @ distance**2)
    if square <= 1e-24 * max(1.0, float(np.abs(values).max())):
        return 0.0
    cube = float(weights @ distance**3)
    return cube / float(6 * square**1.5)
