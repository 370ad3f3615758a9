"""Metric values over resampled clusters.

Two draws serve everything. `resampled` draws as many clusters as there are, with replacement: what other items of the
same kind would have given (intervals). `swapped` exchanges the two arms' answers within half of the clusters, drawn at
random: what the difference would be if the arms were alike (p). All groups, metrics and arms see the same draws, so
gaps and searches over groups have their joint distribution.

Replicates come in stripes with a generator each, so the numbers depend on the seed alone and not on how the work is
cut up or who does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from crushtest.metrics import Array, Metric, ratio
from crushtest.stats.clusters import ClusterTotals, GroupTotals, Index, Rest, of_metrics, to_resample
from crushtest.stats.group_sums import Totals, are_whole, listed, plan
from crushtest.stats.threads import each
from crushtest.stats.weights import Weights, resampled, swapped

STRIPE = 100
SMALLEST_STRIPE = 10
STRIPE_NUMBERS = 1_000_000
"""Weights per stripe: with very many clusters it has fewer replicates, so that its memory is used again and again."""
NUMBERS_AT_ONCE = 100_000
"""How many weights or totals (8 bytes each) one piece of work may hold."""
ROWS_AT_ONCE = 100
WHOLE_AT_ONCE = 10_000_000
"""So many replicates of whole numbers are multiplied at once, in half the time that 20 at a time take, unless they are
more weights (4 bytes each) than this. Other numbers keep to smaller pieces: another shape may round them otherwise."""
WORTH_THREADS = 50_000_000

Draw = Callable[[np.random.Generator, Index, int], Weights]
"""(generator, counts of the units, how many) -> weights [how many, units]."""


class Values(NamedTuple):
    """Of groups [metrics, arms, groups, n], and of groups minus the rest [rests, arms, n]; NaN where undefined."""

    groups: Array
    rests: Array


def evaluate(
    metrics: Sequence[Metric],
    groups: Sequence[GroupTotals],
    totals: Totals,
    *,
    wanted: Sequence[int] | None = None,
    into: Array | None = None,
) -> Array:
    """Return values [metrics, arms, groups, n] of the groups' totals; NaN where undefined.

    wanted   the places of the metrics; default: all
    into     is filled and returned, where it is given
    """
    wanted, arms = range(len(metrics)) if wanted is None else wanted, arms_of(groups)
    values = np.empty((len(wanted), arms, len(groups), totals.count)) if into is None else into
    with np.errstate(all="ignore"):
        for place, number in enumerate(wanted):
            held = [group for group, rows in enumerate(groups) if rows.parts[number].clusters]
            if len(held) < len(groups):
                values[place] = np.nan
            for arm in range(arms if held else 0):
                if metrics[number].cell_of is None:  # one call for all: most metrics take less time than calling them
                    of_all = metrics[number].formula(*_columns(groups, totals, held, number, arm))
                    values[place, arm, held] = np.where(np.isfinite(of_all), of_all, np.nan)
                    continue
                for group in held:
                    cells = totals.of_one(group, _place(groups[group], number, arm))
                    cells = cells.reshape(*groups[group].parts[number].shape, totals.count)
                    own = metrics[number].formula(*(np.moveaxis(column, -1, 0) for column in cells))
                    values[place, arm, group] = np.where(np.isfinite(own), own, np.nan)
    return values


def evaluate_rests(units: ClusterTotals, rests: Sequence[Rest], totals: Totals) -> Array:
    """Return the values [rests, arms, n]: a group's ratio minus the ratio of the others of its attribute."""
    arms = arms_of(units.groups)
    values = np.full((len(rests), arms, totals.count), np.nan)
    for number, (metric, group, union) in enumerate(rests):
        for arm in range(arms if units.groups[group].parts[metric].clusters else 0):
            mine, every = np.moveaxis(_columns(units.groups, totals, [group, union], metric, arm), 1, 0)
            values[number, arm] = against_rest(*mine, *(every - mine))
    return values


def against_rest(mine: Array, of_mine: Array, others: Array, of_others: Array) -> Array:
    """Return a group's ratio minus the ratio of the others, from totals of one shape."""
    return ratio(mine, of_mine) - ratio(others, of_others)


def _columns(groups: Sequence[GroupTotals], totals: Totals, at: Sequence[int], metric: int, arm: int) -> Array:
    """Return the totals [k, groups, n] of one metric and arm, for several groups."""
    return totals.of(at, [_place(groups[group], metric, arm) for group in at])


def _place(rows: GroupTotals, metric: int, arm: int) -> slice:
    """Return where the columns of one metric and arm stand among a group's."""
    part = rows.parts[metric]
    return slice(arm * rows.width + part.start, arm * rows.width + part.stop)


def arms_of(groups: Sequence[GroupTotals]) -> int:
    """Return how many arms stand side by side in groups' columns."""
    return max((rows.columns.shape[1] // rows.width for rows in groups if rows.width), default=1)


def observed(metrics: Sequence[Metric], units: ClusterTotals) -> Values:
    """Return the values of the data as it is, without the last axis."""
    totals = listed([_sum(units, rows)[:, None] for rows in units.groups])
    return Values(evaluate(metrics, units.groups, totals)[..., 0], evaluate_rests(units, units.rests, totals)[..., 0])


def leave_one_out(metrics: Sequence[Metric], units: ClusterTotals, group: int) -> Array:
    """Return the values [metrics, arms, units of the group] with one cluster of that unit left out."""
    rows = units.groups[group]
    # Columns side by side are read faster; sums over cells would round otherwise.
    order: Literal["C", "K"] = "K" if any(metric.cell_of for metric in metrics) else "C"
    without = np.subtract(_sum(units, rows)[:, None], rows.columns.T, order=order)
    return evaluate(metrics, [rows], listed([without]))[:, :, 0]


def bootstrap(
    metrics: Sequence[Metric],
    units: ClusterTotals,
    *,
    seed: int,
    replicates: int,
    wanted: Sequence[int] | None = None,
) -> Values:
    """Return the values over resampled clusters, n = replicates; NaN for metrics with a jackknife.

    `wanted` are the places of the metrics that are returned; default: all. They have the same values, whichever
    others are.
    """
    wanted = range(len(metrics)) if wanted is None else wanted
    units = _without_others(to_resample(metrics, units), wanted)
    products = plan(units, [rows.columns for rows in units.groups])
    work = _Work(metrics, units, resampled, products.totals, products.wide.dtype, (seed, 0), wanted)
    return _replicate(work, replicates)


def exchange(
    metrics: Sequence[Metric],
    units: ClusterTotals,
    *,
    seed: int,
    replicates: int,
    wanted: Sequence[int] | None = None,
) -> Values:
    """Return the values with both arms exchanged in randomly drawn clusters; otherwise as `bootstrap`."""
    wanted = range(len(metrics)) if wanted is None else wanted
    units = _without_others(to_resample(metrics, units), wanted)
    products = plan(units, [rows.columns[:, rows.width :] - rows.columns[:, : rows.width] for rows in units.groups])
    start = tuple(_sum(units, rows) for rows in units.groups)
    sign = tuple(np.repeat([1.0, -1.0], rows.width) for rows in units.groups)

    def totals(weights: Array) -> Totals:
        moved = products.totals(weights)
        return Totals(moved.sums, tuple(np.tile(rows, 2) for rows in moved.rows), start, sign)

    return _replicate(_Work(metrics, units, swapped, totals, products.wide.dtype, (seed, 1), wanted), replicates)


def _without_others(units: ClusterTotals, wanted: Sequence[int]) -> ClusterTotals:
    """Return the units without the columns of other metrics, if that changes no rounding: if all are whole numbers."""
    return of_metrics(units, wanted) if are_whole(units, [rows.columns for rows in units.groups]) else units


def _sum(units: ClusterTotals, rows: GroupTotals) -> Array:
    total: Array = units.counts[rows.units].astype(np.float64) @ rows.columns
    return total


class _Work(NamedTuple):
    """What is drawn, what is summed and which metrics are made of it."""

    metrics: Sequence[Metric]
    units: ClusterTotals
    draw: Draw
    totals: Callable[[Array], Totals]
    dtype: np.dtype[Any]
    stream: tuple[int, int]
    wanted: Sequence[int]


def _replicate(work: _Work, replicates: int) -> Values:
    """Return the values of every replicate. A piece of work is as many stripes as fit the memory it may use."""
    units, arms = work.units, arms_of(work.units.groups)
    values = np.empty((len(work.wanted), arms, len(units.groups), replicates))
    wanted_rests = [rest for rest in units.rests if rest.metric in work.wanted]
    rests = np.empty((len(wanted_rests), arms, replicates))
    stripe = max(SMALLEST_STRIPE, min(STRIPE, STRIPE_NUMBERS // max(1, len(units.counts))))
    widest = max([len(units.counts), *(rows.columns.shape[1] for rows in units.groups)])
    piece = stripe * max(1, NUMBERS_AT_ONCE // (widest * stripe or 1))
    if work.dtype == np.float32:
        piece = max(piece, stripe * min(ROWS_AT_ONCE // stripe, WHOLE_AT_ONCE // (widest * stripe or 1)))

    def fill(start: int) -> None:
        stop = min(start + piece, replicates)
        generators = [np.random.default_rng((*work.stream, at)) for at in range(start, stop, stripe)]
        weights = np.empty((len(generators) * stripe, len(units.counts)), work.dtype)
        for number, rng in enumerate(generators):
            weights[number * stripe : (number + 1) * stripe] = work.draw(rng, units.counts, stripe)
        totals = work.totals(weights[: stop - start])
        evaluate(work.metrics, units.groups, totals, wanted=work.wanted, into=values[..., start:stop])
        rests[..., start:stop] = evaluate_rests(units, wanted_rests, totals)

    starts = range(0, replicates, piece)
    each(fill, starts, in_threads=len(units.counts) * replicates >= WORTH_THREADS)
    return Values(values, rests)
