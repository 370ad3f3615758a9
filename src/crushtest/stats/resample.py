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

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.stats.draws import resampled, swapped
from crushtest.stats.products import plan
from crushtest.stats.units import Index, Rows, Units, to_resample

STRIPE = 100
NUMBERS_AT_ONCE = 250_000
"""How many weights or totals (8 bytes each) one piece of work may hold."""
WORTH_THREADS = 50_000_000

Draw = Callable[[np.random.Generator, Index, int], Array]
"""(generator, counts of the units, how many) -> weights [how many, units]."""


def evaluate(metrics: Sequence[Metric], rows: Rows, totals: Array) -> Array:
    """Values [metrics, arms, n] of a group's totals [arms * width, n]; NaN where undefined."""
    arms = len(totals) // rows.width if rows.width else 1
    values = np.full((len(metrics), arms, totals.shape[1]), np.nan)
    with np.errstate(all="ignore"):
        for position, (metric, part) in enumerate(zip(metrics, rows.parts, strict=True)):
            if not part.clusters:
                continue
            for arm in range(arms):
                block = totals[arm * rows.width + part.start : arm * rows.width + part.stop]
                columns = block.reshape(*part.shape, -1)
                values[position, arm] = metric.formula(*(np.moveaxis(column, -1, 0) for column in columns))
    values[~np.isfinite(values)] = np.nan
    return values


def observed(metrics: Sequence[Metric], units: Units) -> Array:
    """Values [metrics, arms, groups] of the data as it is."""
    per_group = [evaluate(metrics, rows, _sum(units, rows)[:, None])[:, :, 0] for rows in units.groups]
    return np.stack(per_group, axis=-1)


def leave_one_out(metrics: Sequence[Metric], units: Units, group: int) -> Array:
    """Values [metrics, arms, units of the group] with one cluster of that unit left out."""
    rows = units.groups[group]
    return evaluate(metrics, rows, _sum(units, rows)[:, None] - rows.columns.T)


def bootstrap(metrics: Sequence[Metric], units: Units, *, seed: int, replicates: int) -> Array:
    """Values [metrics, arms, groups, replicates] over resampled clusters; NaN for metrics with a jackknife."""
    units = to_resample(metrics, units)
    products = plan(units, [rows.columns for rows in units.groups])
    return _replicate(metrics, units, resampled, products.totals, stream=(seed, 0), replicates=replicates)


def exchange(metrics: Sequence[Metric], units: Units, *, seed: int, replicates: int) -> Array:
    """Values [metrics, 2, groups, replicates] with the two arms exchanged in randomly drawn clusters, NaN as above."""
    units = to_resample(metrics, units)
    products = plan(units, [rows.columns[:, rows.width :] - rows.columns[:, : rows.width] for rows in units.groups])
    sums = [_sum(units, rows)[:, None] for rows in units.groups]

    def totals(weights: Array) -> list[Array]:
        moved = products.totals(weights)
        return [total + np.concatenate([change, -change]) for total, change in zip(sums, moved, strict=True)]

    return _replicate(metrics, units, swapped, totals, stream=(seed, 1), replicates=replicates)


def _sum(units: Units, rows: Rows) -> Array:
    total: Array = units.counts[rows.units].astype(np.float64) @ rows.columns
    return total


def _replicate(
    metrics: Sequence[Metric],
    units: Units,
    draw: Draw,
    totals: Callable[[Array], list[Array]],
    *,
    stream: tuple[int, int],
    replicates: int,
) -> Array:
    """Values of every replicate. A piece of work is some stripes, as many as fit the memory it may use."""
    arms = max((rows.columns.shape[1] // rows.width for rows in units.groups if rows.width), default=1)
    values = np.full((len(metrics), arms, len(units.groups), replicates), np.nan)
    widest = max([len(units.counts), *(rows.columns.shape[1] for rows in units.groups)])
    piece = STRIPE * max(1, NUMBERS_AT_ONCE // (widest * STRIPE or 1))

    def fill(start: int) -> None:
        stop = min(start + piece, replicates)
        stripes = [np.random.default_rng((*stream, at)) for at in range(start, stop, STRIPE)]
        weights = np.concatenate([draw(rng, units.counts, STRIPE) for rng in stripes])[: stop - start]
        for group, (rows, total) in enumerate(zip(units.groups, totals(weights), strict=True)):
            values[:, :, group, start:stop] = evaluate(metrics, rows, total)

    starts = range(0, replicates, piece)
    if len(units.counts) * replicates < WORTH_THREADS:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
            list(pool.map(fill, starts))
    return values
