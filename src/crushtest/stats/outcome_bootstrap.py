"""Intervals and p of formulas over counts of outcomes, such as d': a cluster bootstrap that reckons with the unseen.

Clusters are drawn with replacement, both arms alike, and every kind of item (requests to refuse, requests to answer) is
scaled back to the number of items it has, so that a correction that depends on that number stays what it was. A plain
bootstrap of few clusters, or of counts near none and all, is too sure: it cannot show what no item did. So every count
of a resample is drawn anew around itself, with 2 / sqrt(clusters) of the variance that independent items have (as the
variance of rates is inflated), and each outcome that an item may have, seen or not, gets `UNSEEN` of an item, drawn as
well. The percentiles are read wider by Student's t. The interval reaches as far as they do and as their mirror image
around the estimate does (the basic bootstrap), because such counts move resamples to the middle. The simulations of
docs/statistics.md chose all three.

Sources: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015 (both intervals,
read wider); Rubin, The Bayesian bootstrap, Annals of Statistics 9, 1981 (gamma weights of outcomes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.clusters import Index
from crushtest.stats.intervals import NORMAL_POINTS, ONE_CLUSTER, UNDEFINED_SHARE, Bootstrap, smallest_wide_p
from crushtest.stats.rates import INFLATION
from crushtest.stats.slices import Slice

DRAWS = NORMAL_POINTS
UNSEEN = 0.25
"""Items that each possible outcome gets in addition, on average."""


class Resampled(NamedTuple):
    """An estimate, the percentiles of its resamples, and their mirror image around it."""

    estimate: float
    percentile: Bootstrap
    basic: Bootstrap

    def interval(self, level: float) -> Interval:
        """Return the two-sided interval of that level. It holds the estimate."""
        lows, highs = zip(*(each.interval(level) for each in (self.percentile, self.basic)), strict=True)
        return Interval(min(self.estimate, *lows), max(self.estimate, *highs))

    def p(self) -> float:
        """Return 1 - the level of the interval that reaches 0, so that the two cannot disagree."""
        least, p = smallest_wide_p(self.percentile.clusters), 1.0
        if self._excludes_zero(1 - least):
            return least
        for _ in range(40):
            middle = (least + p) / 2
            least, p = (least, middle) if self._excludes_zero(1 - middle) else (middle, p)
        return p

    def _excludes_zero(self, level: float) -> bool:
        low, high = self.interval(level)
        return low > 0 or high < 0


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """How many items of each cluster have each outcome that an item can have, in one arm or in two together.

    formula   totals of sums, one array per column -> values
    sums      [rows, k] every row of sums that an item can have in an arm
    kind      [outcomes] the kind of the items that can have an outcome
    rows      [arms, outcomes] the row that an outcome is in each arm
    counts    [clusters, outcomes]
    """

    formula: Callable[..., Array]
    sums: Array
    kind: Index
    rows: Index
    counts: Array

    def value(self, totals: Array, weights: tuple[float, ...]) -> Array:
        """Return the arms' values, weighted and added up, of totals [..., outcomes]."""
        with np.errstate(all="ignore"):
            arms = [self.formula(*np.moveaxis(totals @ self.sums[rows], -1, 0)) for rows in self.rows]
        total: Array = np.sum([weight * arm for weight, arm in zip(weights, arms, strict=True)], axis=0)
        return total

    def resample(
        self, weights: tuple[float, ...], random: np.random.Generator, *, draws: int = DRAWS
    ) -> Resampled | str:
        """Return the distribution of the arms' values, weighted and added up; or why there is none."""
        values = self.value(self._draw(random, draws), weights)
        values = np.sort(values[np.isfinite(values)])
        if (lost := 1 - len(values) / draws) > UNDEFINED_SHARE:
            return f"undefined in {lost:.0%} of the resamples: too few items to divide by"
        estimate = float(self.value(self.counts.sum(axis=0), weights))
        mirrored = 2 * estimate - values[::-1]
        percentile, basic = (Bootstrap(each, 0.0, 0.0, len(self.counts)) for each in (values, mirrored))
        return Resampled(estimate, percentile, basic)

    def as_if_moved(self, row: int, share: float, random: np.random.Generator) -> Outcomes:
        """Return the outcomes of an arm that is dense, but for a share of its items of one kind that came to `row`."""
        place = {(first, second): outcome for outcome, (first, second) in enumerate(self.rows.T.tolist())}
        counts = np.zeros_like(self.counts)
        for outcome, first in enumerate(self.rows[0].tolist()):
            is_of_kind = (first, row) in place
            moved = random.binomial(self.counts[:, outcome].astype(int), share if is_of_kind else 0.0)
            counts[:, place[first, first]] += self.counts[:, outcome] - moved
            counts[:, place[first, row] if is_of_kind else outcome] += moved
        return replace(self, counts=counts)

    def _draw(self, random: np.random.Generator, draws: int) -> Array:
        """Return totals [draws, outcomes]; NaN for a kind of which the clusters drawn hold no item."""
        clusters, of_one_kind = len(self.counts), (self.kind[:, None] == self.kind).astype(float)
        sizes = self.counts.sum(axis=0) @ of_one_kind
        sharpness = np.sqrt(clusters) / INFLATION
        alike, number = np.unique(self.counts, axis=0, return_counts=True)
        totals = random.multinomial(clusters, number / clusters, size=draws) @ alike
        with np.errstate(divide="ignore", invalid="ignore"):
            totals = totals * (sizes / (totals @ of_one_kind))
            totals = random.standard_gamma(sharpness * totals) / sharpness
            totals = totals + random.standard_gamma(UNSEEN, totals.shape)
            scaled: Array = totals * (sizes / (totals @ of_one_kind))
        return scaled


def outcomes_of(slice_: Slice) -> Outcomes:
    """Count the outcomes of a slice whose items are of known kinds (`Slice.kinds`)."""
    arms, sums = len(slice_.columns), np.concatenate(slice_.kinds)
    kind = np.repeat(np.arange(len(slice_.kinds)), [len(rows) for rows in slice_.kinds])
    every = np.indices((len(sums),) * arms).reshape(arms, -1)
    is_possible = (kind[every] == kind[every[0]]).all(axis=0)
    matches = [(columns[:, None, :] == sums).all(axis=2) for columns in slice_.columns]
    assert all(match.any(axis=1).all() for match in matches), f"{slice_.name}: an item has sums that none can have"
    outcome = np.ravel_multi_index([match.argmax(axis=1) for match in matches], (len(sums),) * arms)
    assert is_possible[outcome].all(), f"{slice_.name}: an item is of two kinds in two arms"
    counts = np.zeros((slice_.clusters, len(is_possible)))
    np.add.at(counts, (slice_.place, outcome), 1.0)
    rows = every[:, is_possible]
    return Outcomes(formula=slice_.formula, sums=sums, kind=kind[rows[0]], rows=rows, counts=counts[:, is_possible])


def resample_outcomes(slice_: Slice, combine: tuple[float, float]) -> Resampled | str:
    """Return the distribution of a slice's value, or of two arms' weighted by `combine`; or why there is none."""
    if slice_.clusters < 2:
        return ONE_CLUSTER
    weights = combine if slice_.is_paired else (1.0,)
    return outcomes_of(slice_).resample(weights, np.random.default_rng((slice_.seed, 2)))
