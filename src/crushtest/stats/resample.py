"""Metric values over resampled clusters.

Two draws serve everything. `resampled` draws as many clusters as there are, with replacement: what other items of the
same kind would have given (intervals). `swapped` exchanges the two arms' answers within half of the clusters, drawn at
random: what the difference would be if the arms were alike (p). All groups, metrics and arms see the same draws, so
gaps and searches over groups have their joint distribution.

Replicates come in stripes with a generator each, so the numbers depend on the seed alone and not on how the work is
cut up or who does it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array, Metric, ratio
from crushtest.stats.clusters import ClusterTotals, GroupTotals, Index, to_resample
from crushtest.stats.group_sums import plan
from crushtest.stats.weights import resampled, swapped

STRIPE = 100
SMALLEST_STRIPE = 10
STRIPE_NUMBERS = 1_000_000
"""Weights per stripe: with very many clusters it has fewer replicates, so that its memory is used again and again."""
NUMBERS_AT_ONCE = 100_000
"""How many weights or totals (8 bytes each) one piece of work may hold."""
WORTH_THREADS = 50_000_000

Draw = Callable[[np.random.Generator, Index, int], Array]
"""(generator, counts of the units, how many) -> weights [how many, units]."""


class Values(NamedTuple):
    """Of groups [metrics, arms, groups, n], and of groups minus the rest [rests, arms, n]; NaN where undefined."""

    groups: Array
    rests: Array


def evaluate(metrics: Sequence[Metric], groups: Sequence[GroupTotals], totals: Sequence[Array]) -> Array:
    """Return values [metrics, arms, groups, n] of the groups' totals, each [arms * width, n]; NaN where undefined."""
    arms = _arms(groups)
    values = np.full((len(metrics), arms, len(groups), totals[0].shape[1]), np.nan)
    with np.errstate(all="ignore"):
        for number, metric in enumerate(metrics):
            held = [group for group, rows in enumerate(groups) if rows.parts[number].clusters]
            for arm in range(arms if held else 0):
                blocks = [_columns(groups[group], totals[group], number, arm) for group in held]
                if metric.cell_of is None:  # one call for all groups: most metrics take less time than calling them
                    values[number, arm, held] = metric.formula(*np.stack(blocks, axis=1))
                    continue
                for group, block in zip(held, blocks, strict=True):
                    values[number, arm, group] = metric.formula(*(np.moveaxis(column, -1, 0) for column in block))
    values[~np.isfinite(values)] = np.nan
    return values


def evaluate_rests(units: ClusterTotals, totals: Sequence[Array]) -> Array:
    """Return the values [rests, arms, n]: a group's ratio minus the ratio of the others of its attribute."""
    arms = _arms(units.groups)
    values = np.full((len(units.rests), arms, totals[0].shape[1]), np.nan)
    for number, (metric, group, union) in enumerate(units.rests):
        for arm in range(arms if units.groups[group].parts[metric].clusters else 0):
            of_group = _columns(units.groups[group], totals[group], metric, arm)
            values[number, arm] = against_rest(
                *of_group, *(_columns(units.groups[union], totals[union], metric, arm) - of_group)
            )
    return values


def against_rest(mine: Array, of_mine: Array, others: Array, of_others: Array) -> Array:
    """Return a group's ratio minus the ratio of the others, from totals of one shape."""
    return ratio(mine, of_mine) - ratio(others, of_others)


def _columns(rows: GroupTotals, totals: Array, metric: int, arm: int) -> Array:
    """Return the columns [k, n] of one metric and arm, or [k, cells, n]."""
    part = rows.parts[metric]
    block = totals[arm * rows.width + part.start : arm * rows.width + part.stop]
    return block.reshape(*part.shape, -1)


def _arms(groups: Sequence[GroupTotals]) -> int:
    return max((rows.columns.shape[1] // rows.width for rows in groups if rows.width), default=1)


def observed(metrics: Sequence[Metric], units: ClusterTotals) -> Values:
    """Return the values of the data as it is, without the last axis."""
    totals = [_sum(units, rows)[:, None] for rows in units.groups]
    return Values(evaluate(metrics, units.groups, totals)[..., 0], evaluate_rests(units, totals)[..., 0])


def leave_one_out(metrics: Sequence[Metric], units: ClusterTotals, group: int) -> Array:
    """Return the values [metrics, arms, units of the group] with one cluster of that unit left out."""
    rows = units.groups[group]
    return evaluate(metrics, [rows], [_sum(units, rows)[:, None] - rows.columns.T])[:, :, 0]


def bootstrap(metrics: Sequence[Metric], units: ClusterTotals, *, seed: int, replicates: int) -> Values:
    """Return the values over resampled clusters, n = replicates; NaN for metrics with a jackknife."""
    units = to_resample(metrics, units)
    products = plan(units, [rows.columns for rows in units.groups])
    return _replicate(metrics, units, resampled, products.totals, stream=(seed, 0), replicates=replicates)


def exchange(metrics: Sequence[Metric], units: ClusterTotals, *, seed: int, replicates: int) -> Values:
    """Return the values with both arms exchanged in randomly drawn clusters; NaN for metrics with a jackknife."""
    units = to_resample(metrics, units)
    products = plan(units, [rows.columns[:, rows.width :] - rows.columns[:, : rows.width] for rows in units.groups])
    sums = [_sum(units, rows).reshape(2, -1, 1) for rows in units.groups]
    signs = np.array([1.0, -1.0])[:, None, None]

    def totals(weights: Array) -> list[Array]:
        moved = products.totals(weights)
        return [
            (total + signs * change).reshape(2 * len(change), -1) for total, change in zip(sums, moved, strict=True)
        ]

    return _replicate(metrics, units, swapped, totals, stream=(seed, 1), replicates=replicates)


def _sum(units: ClusterTotals, rows: GroupTotals) -> Array:
    total: Array = units.counts[rows.units].astype(np.float64) @ rows.columns
    return total


def _replicate(
    metrics: Sequence[Metric],
    units: ClusterTotals,
    draw: Draw,
    totals: Callable[[Array], list[Array]],
    *,
    stream: tuple[int, int],
    replicates: int,
) -> Values:
    """Return the values of every replicate. A piece of work is as many stripes as fit the memory it may use."""
    arms = _arms(units.groups)
    values = np.full((len(metrics), arms, len(units.groups), replicates), np.nan)
    rests = np.full((len(units.rests), arms, replicates), np.nan)
    stripe = max(SMALLEST_STRIPE, min(STRIPE, STRIPE_NUMBERS // max(1, len(units.counts))))
    widest = max([len(units.counts), *(rows.columns.shape[1] for rows in units.groups)])
    piece = stripe * max(1, NUMBERS_AT_ONCE // (widest * stripe or 1))

    def fill(start: int) -> None:
        stop = min(start + piece, replicates)
        generators = [np.random.default_rng((*stream, at)) for at in range(start, stop, stripe)]
        stripes = [draw(rng, units.counts, stripe) for rng in generators]
        weights = np.concatenate(stripes) if len(stripes) > 1 else stripes[0]
        sums = totals(weights[: stop - start])
        values[..., start:stop] = evaluate(metrics, units.groups, sums)
        rests[..., start:stop] = evaluate_rests(units, sums)

    starts = range(0, replicates, piece)
    if len(units.counts) * replicates < WORTH_THREADS:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
            list(pool.map(fill, starts))
    return Values(values, rests)
