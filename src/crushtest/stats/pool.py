"""What the blocks asked so far say of the full run: its difference from dense, and the interval that it will have.

The pool is known: all its items, and dense's answers to every one. Only the arm's answers to some of its blocks are
not. The estimate is dense's value on the pool with the mean change of the blocks asked, so its error comes from the
order of asking alone, however items hang together within clusters. Clusters enter through the interval that the full
run will have, which is about other items of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.betting import betting_interval
from crushtest.stats.clusters import Index
from crushtest.stats.intervals import student_quantile
from crushtest.stats.rates import INFLATION, PairedCounts, informative_share, paired_interval_of
from crushtest.stats.sequential import Bounds, critical_values
from crushtest.stats.shared import Mask

UNSEEN = 3
"""Changed items counted besides those seen, in every variance. Where 2% of the answers change, all one way and by as
much as the margin, 4.7% of the runs stopped with another verdict than the full run's with one, and 1.0% with three."""
STEP = 1e-4
"""Relative step of the differences that stand for a formula's gradient."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One metric in one group: the items that it is about and that dense has a number for.

    rows        their places among the task's items, in the order in which their blocks are asked
    dense       [items, k] dense's sums
    block       [items] number of each item's block, in the order of asking
    cell        [items] number of each item's cell: the part of a block that lies in one cluster
    cluster_of  [cells] the cell's cluster
    sizes       [clusters] items of each cluster
    is_rate     whether items are right or wrong: sums 0 or 1, and 1
    possible    the sums [values, k] that an item may have, where they are few
    bounds      least and most that an item's first sum can be, for a mean over items; None where nothing bounds it
    """

    rows: Index
    dense: Array
    block: Index
    cell: Index
    cluster_of: Index
    sizes: Array
    formula: Callable[..., Array]
    is_rate: bool
    possible: Array | None
    bounds: tuple[float, float] | None

    @property
    def blocks(self) -> int:
        return int(self.block[-1]) + 1 if len(self.block) else 0

    def items_in(self, blocks: int) -> int:
        """Return how many items the first blocks hold."""
        return int(np.searchsorted(self.block, blocks))


class Forecast(NamedTuple):
    """What is known of the full run's row.

    dense, value   dense's value on the pool, and the arm's as estimated
    pool           interval of the full run's difference, which holds at all looks together
    reach          given a level, what the full run's interval of that level will reach beyond its difference: two
                   distances, below and above
    of_sum         the distance of the 95% interval of arm + dense from their sum
    limits         least and most that any difference can be
    """

    dense: float
    value: float
    pool: Interval
    reach: Callable[[float], Interval]
    of_sum: float
    limits: Interval = Interval(-np.inf, np.inf)

    def interval(self, level: float) -> Interval:
        """Return the hull of the intervals of that level that the full run may have."""
        below, above = self.reach(level)
        return Interval(max(self.pool.low - below, self.limits.low), min(self.pool.high + above, self.limits.high))

    def within(self, bounds: tuple[float, float] | None, *, dense_is_known: bool) -> Forecast:
        """Return the same, cut to what a metric within these bounds can be.

        Where dense's value is that of the full run, its difference cannot lead beyond the bounds. Where items without a
        score are still to come, it may not be, and the difference is cut to what any two values leave. The full run's
        intervals are about other items, of which dense may have another value: they are cut as they are there.
        """
        if bounds is None:
            return self
        low, high = bounds
        dense, value = (min(max(each, low), high) for each in (self.dense, self.value))
        limits = Interval(low - high, high - low)
        least, most = (low - dense, high - dense) if dense_is_known else limits
        ends = [min(max(end, least), most) for end in self.pool]
        pool = Interval(min(value - dense, *ends), max(value - dense, *ends))
        return self._replace(dense=dense, value=value, pool=pool, limits=limits)


def arrange(
    rows: Index, dense: Array, rank: Index, cluster: Index, *, formula: Callable[..., Array], **kind: object
) -> Pool:
    """Return the pool of these items; `rank` [items] is the place of each item's block in the order of asking."""
    order = np.argsort(rank, kind="stable")
    block = np.unique(rank[order], return_inverse=True)[1].reshape(-1)
    of_cluster = np.unique(cluster[order], return_inverse=True)[1].reshape(-1)
    clusters = int(of_cluster.max(initial=-1)) + 1
    cells, cell = np.unique(block * clusters + of_cluster, return_inverse=True)
    return Pool(
        rows=rows[order],
        dense=dense[order],
        block=block,
        cell=cell.reshape(-1),
        cluster_of=cells % max(clusters, 1),
        sizes=np.bincount(of_cluster).astype(np.float64),
        formula=formula,
        **kind,  # type: ignore[arg-type]
    )


def forecast(
    pool: Pool,
    arm: Array,
    scored: Mask,
    *,
    looks: tuple[int, ...],
    last: int,
    error: float,
    bounds: Bounds = "normal",
) -> Forecast | str:
    """Return what the blocks asked so far say of the full run, or why they say nothing.

    arm, scored   [asked items, k] the arm's sums, and which items have a number, in the pool's order
    looks         blocks of this pool that were asked at each look so far; the last number is all that are asked now
    last          those that the last look before the whole pool will have asked
    error         chance that the full run's difference is ever outside the interval
    """
    asked, now = len(arm), looks[-1]
    scale = pool.blocks / now
    before = pool.dense[:asked]
    after, dropped = arm * scored[:, None], before * ~scored[:, None]
    totals = pool.dense.sum(axis=0)
    of_dense, of_arm = totals - scale * dropped.sum(axis=0), totals + scale * (after - before).sum(axis=0)
    dense, value = (float(pool.formula(*total[:, None])[0]) for total in (of_dense, of_arm))
    slope_dense, slope_arm = gradient(pool.formula, of_dense), gradient(pool.formula, of_arm)
    if not np.isfinite([dense, value, *slope_dense, *slope_arm]).all():
        return "undefined so far"
    block, cell = pool.block[:asked], pool.cell[:asked]
    moves: Array = (after - before) @ slope_arm + dropped @ slope_dense
    changes = np.bincount(block, moves, minlength=now).astype(np.float64)
    flip = largest_change(pool, slope_arm)
    spread = float(((changes - changes.mean()) ** 2).sum())
    if now < pool.blocks and spread == 0 and flip == 0:
        return "nothing has changed so far"
    if bounds == "exact" and now < pool.blocks:
        exact = exact_interval(pool, changes, scored, error)
        if isinstance(exact, str):
            return exact
        sequence = exact
    else:
        half = 0.0
        if now < pool.blocks:
            z = critical_values([n / pool.blocks for n in looks], last=last / pool.blocks, error=error / 2)[-1]
            half = z * pool.blocks * sqrt((spread + UNSEEN * flip**2) / (now - 1) * (1 / now - 1 / pool.blocks))
        sequence = Interval(value - dense - half, value - dense + half)
    share = now / pool.blocks, max(1, now - 1) / max(1, pool.blocks - 1)
    moved, summed = after @ slope_arm, (before - dropped) @ slope_dense
    variance = variance_of_full_run(pool, cell, moved - summed, share) + flip**2 / share[0]
    t = student_quantile(0.95, len(pool.sizes)) if len(pool.sizes) > 1 else np.inf
    of_sum = t * sqrt(variance_of_full_run(pool, cell, moved + summed, share))
    reach = partial(reach_of_full_run, pool, before, after, scored, variance, scale)
    return Forecast(dense, value, sequence, reach, of_sum)


def share_interval(
    pool: Pool, happened: Array, *, looks: tuple[int, ...], last: int, error: float
) -> tuple[float, float]:
    """Return the interval of the share of the pool's items to which something happens; [asked items] 0 or 1."""
    now, total = looks[-1], len(pool.rows)
    counts = np.bincount(pool.block[: len(happened)], happened, minlength=now)
    share = pool.blocks * float(counts.mean()) / total
    if now == pool.blocks:
        return share, share
    spread = float(((counts - counts.mean()) ** 2).sum()) + UNSEEN
    z = critical_values([n / pool.blocks for n in looks], last=last / pool.blocks, error=error / 2)[-1]
    half = z * pool.blocks / total * sqrt(spread / (now - 1) * (1 / now - 1 / pool.blocks))
    seen = float(happened.sum())
    return max(seen / total, share - half), min((seen + total - len(happened)) / total, share + half)


def gradient(formula: Callable[..., Array], totals: Array) -> Array:
    """Return how a formula moves with each of its totals [k], by central differences."""
    steps = np.diag(STEP * np.maximum(np.abs(totals), 1.0))
    up, down = formula(*(totals + steps).T), formula(*(totals - steps).T)
    slopes: Array = (up - down) / (2 * np.diag(steps))
    return slopes


def largest_change(pool: Pool, slope: Array) -> float:
    """Return how far one item more can move the value; 0 for measured numbers, which all change."""
    if pool.is_rate:
        return abs(float(slope[0]))
    if pool.possible is None:
        return 0.0
    moved = pool.possible @ slope
    return float(moved.max() - moved.min())


def exact_interval(pool: Pool, changes: Array, scored: Mask, error: float) -> Interval | str:
    """Return the exact interval of the full run's difference by betting on whole blocks, or why there is none.

    A block's change lies between -c and c, where c is the largest that any block of the pool can show.
    """
    if pool.bounds is None:
        return "no exact bounds: nothing bounds its items"
    if not scored.all():
        return "no exact bounds: items without a score"
    one = (pool.bounds[1] - pool.bounds[0]) / len(pool.rows)
    largest = one * float(np.bincount(pool.block).max())
    drawn = np.clip((changes / largest + 1) / 2, 0.0, 1.0)
    mean = betting_interval(drawn, pool.blocks, error=error / 2)
    low, high = ((2 * end - 1) * largest * pool.blocks for end in mean)
    return Interval(low, high)


def variance_of_full_run(pool: Pool, cell: Index, influence: Array, share: tuple[float, float]) -> float:
    """Return the variance of the full run's value over clusters, from the influences [asked items].

    Two items of a cluster were asked together with the chance share[0] if they share a block, and share[0] * share[1]
    if not. Clusters whose blocks seem to go against each other count as if their blocks were independent.
    """
    cells = np.bincount(cell, influence)
    within = float(cells @ cells)
    clusters = np.bincount(pool.cluster_of[: len(cells)], cells)
    between = float(clusters @ clusters) - within
    return within / share[0] + max(0.0, between) / (share[0] * share[1])


def reach_of_full_run(
    pool: Pool, before: Array, after: Array, scored: Mask, variance: float, scale: float, level: float
) -> Interval:
    """Return how far the full run's interval of this level will reach below and above its difference.

    It is the interval that the row's kind gets (`uncertainty`), for the clusters of the whole pool.
    """
    clusters = len(pool.sizes)
    if not pool.is_rate:
        widening = 1 + INFLATION / sqrt(clusters) if pool.possible is not None else clusters / max(1, clusters - 1)
        half = student_quantile(level, clusters) * sqrt(variance * widening) if clusters > 1 else np.inf
        return Interval(half, half)
    change = np.where(scored, after[:, 0] - before[:, 0], 0.0)
    place = np.unique(pool.cluster_of[pool.cell[: len(change)]], return_inverse=True)[1].reshape(-1)
    up, down = (np.bincount(place, sign * change > 0).astype(np.float64) for sign in (1, -1))
    total = float(pool.sizes.sum())
    informative = informative_share(PairedCounts(up, down, np.bincount(place).astype(np.float64))) * clusters
    rises, falls = scale * float(up.sum()), scale * float(down.sum())
    if rises + falls > total:
        rises, falls = (each * total / (rises + falls) for each in (rises, falls))
    interval = paired_interval_of(rises, falls, variance * total**2, pool.sizes, informative, level=level)
    difference = (rises - falls) / total
    return Interval(difference - interval.low, interval.high - difference)
