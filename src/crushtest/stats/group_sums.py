"""Sum weights [n, units] times columns for every group, in the way that is cheapest for each.

A group that holds most units joins one wide matrix product, with zeros where it has no unit. A small group multiplies
its own units only: views of the weights where its units stand side by side, a copy of them elsewhere.

The plan pays where nothing else is cheap: one contrast of 100,000 items with numbers, each its own cluster, in 50
groups, with 10,000 replicates, took 18 s of CPU time (benchmarks/bootstrap.py). With a copy of the weights per group
instead it took 25 s, with draws counted one by one instead of `weights._many` 23 s, with both 33 s, and with
`Generator.multinomial` four times the plan's time. With the same items in five attributes of ten groups: 32 s with
the plan, 62 s without it and `_many`. Memory stays below 0.4 GB in all of them.

Answers that are counted have whole numbers, and sums of whole numbers have no rounding below 2 ** 24 in 32 bits either.
They are multiplied so, and equal columns only once: the items that a rate divides by are the same in both arms, and in
every metric about the same items. The totals are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crushtest.metrics import Array
from crushtest.stats.clusters import EXACT, ClusterTotals, GroupTotals, Index

# Rough costs in nanoseconds on one core. Only their ratios matter, and only to choose between two right answers: a
# group joins the wide product if multiplying all units is cheaper than copying the weights of its own.
MULTIPLY = 0.05
"""One multiplication in the wide product, which BLAS runs through vector units."""
COPY = 3.0
"""Copying one weight out of its row: a read from memory at an unpredictable place."""
SKINNY = 0.1
"""One multiplication in a product with few columns, which waits for memory more than it multiplies."""
LONG_RUN = 64
"""Average length from which runs of neighbouring units get a product each: a shorter one takes less time than the
call that starts it."""


@dataclass(frozen=True)
class Totals:
    """Totals of every group's columns, of n replicates.

    sums     [rows, n]
    rows     per group [width] which row of `sums` each of its columns is
    start    per group [width] to which the row is added, `sign` times; None: there is nothing to add to
    """

    sums: Array
    rows: tuple[Index, ...]
    start: tuple[Array, ...] | None = None
    sign: tuple[Array, ...] | None = None

    @property
    def count(self) -> int:
        """Return the number of replicates."""
        return int(self.sums.shape[1])

    def of(self, groups: Sequence[int], columns: Sequence[slice]) -> Array:
        """Return [k, groups, n] the totals of k columns of each of several groups."""
        at = np.stack([self.rows[group][place] for group, place in zip(groups, columns, strict=True)], axis=1)
        totals = self.sums.take(at, axis=0).astype(np.float64, copy=False)
        if self.start is None or self.sign is None:
            return totals
        start, sign = (
            np.stack([each[group][place] for group, place in zip(groups, columns, strict=True)], axis=1)[..., None]
            for each in (self.start, self.sign)
        )
        added: Array = start + sign * totals
        return added

    def of_one(self, group: int, columns: slice) -> Array:
        """Return [k, n] the totals of k columns of one group: a view where they stand side by side."""
        at = self.rows[group][columns]
        if self.start is not None or not len(at) or (np.diff(at) != 1).any():
            return self.of([group], [columns])[:, 0]
        return self.sums[at[0] : at[-1] + 1].astype(np.float64, copy=False)


def listed(totals: Sequence[Array]) -> Totals:
    """Return totals that stand in one array [width, n] per group."""
    if len(totals) == 1:
        return Totals(totals[0], (np.arange(len(totals[0])),))
    ends = np.cumsum([len(each) for each in totals])
    rows = tuple(np.arange(end - len(each), end) for each, end in zip(totals, ends, strict=True))
    return Totals(np.concatenate(totals), rows)


@dataclass(frozen=True)
class Products:
    """A plan. `wide` [units, sum of the widths of the groups in `joined`]; the other groups stand in `runs`.

    columns   per group the columns that differ, and `places` [width] which of them each of its columns is
    """

    wide: Array
    joined: tuple[tuple[int, slice], ...]
    runs: tuple[tuple[int, tuple[slice, ...] | None], ...]
    units: tuple[Index, ...]
    columns: tuple[Array, ...]
    places: tuple[Index, ...]

    def totals(self, weights: Array) -> Totals:
        """Return the totals of weights [n, units]."""
        weights = weights.astype(self.wide.dtype, copy=False)
        ends = np.cumsum([columns.shape[1] for columns in self.columns]).tolist()
        starts = [end - columns.shape[1] for end, columns in zip(ends, self.columns, strict=True)]
        sums: Array = np.zeros((ends[-1], len(weights)), self.wide.dtype)
        if self.joined:
            product = (weights @ self.wide).T
            for group, place in self.joined:
                sums[starts[group] : ends[group]] = product[place]
        for group, runs in self.runs:
            sums[starts[group] : ends[group]] = self._thin(weights, group, runs)
        return Totals(sums, tuple(start + place for start, place in zip(starts, self.places, strict=True)))

    def _thin(self, weights: Array, group: int, runs: tuple[slice, ...] | None) -> Array:
        columns = self.columns[group]
        if runs is None:
            gathered: Array = weights[:, self.units[group]] @ columns
            return gathered.T
        total, done = np.zeros((len(weights), columns.shape[1]), weights.dtype), 0
        for run in runs:
            count = run.stop - run.start
            total += weights[:, run] @ columns[done : done + count]
            done += count
        return total.T


def plan(units: ClusterTotals, columns: Sequence[Array]) -> Products:
    """Return the plan for these columns, one array [units of the group, width] per group."""
    places = tuple(np.arange(mine.shape[1]) for mine in columns)
    if is_exact := are_whole(units, columns):
        places = tuple(map(_equal_columns, columns))
        columns = [_distinct(mine, place).astype(np.float32) for mine, place in zip(columns, places, strict=True)]
    joined: list[tuple[int, slice]] = []
    apart: list[tuple[int, tuple[slice, ...] | None]] = []
    width = 0
    for group, (rows, mine) in enumerate(zip(units.groups, columns, strict=True)):
        runs = _runs(rows)
        if runs is not None:
            apart.append((group, runs))
        elif len(units.counts) * mine.shape[1] * MULTIPLY < len(mine) * (COPY + mine.shape[1] * SKINNY):
            joined.append((group, slice(width, width + mine.shape[1])))
            width += mine.shape[1]
        elif len(mine):
            apart.append((group, None))
    wide = np.zeros((len(units.counts), width), np.float32 if is_exact else np.float64)
    for group, place in joined:
        wide[units.groups[group].units, place] = columns[group]
    return Products(
        wide, tuple(joined), tuple(apart), tuple(rows.units for rows in units.groups), tuple(columns), places
    )


def are_whole(units: ClusterTotals, columns: Sequence[Array]) -> bool:
    """Return True if any weights that add up to the clusters give totals of whole numbers below `EXACT`."""
    largest = max((float(np.abs(mine).max(initial=0.0)) for mine in columns), default=0.0)
    return int(units.counts.sum()) * largest < EXACT and all((mine == np.rint(mine)).all() for mine in columns)


def _equal_columns(columns: Array) -> Index:
    """Return [width] the number of each column [units, width]; equal ones have the same, in order of appearance."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(column.tobytes(), len(numbers)) for column in columns.T], np.int64)


def _distinct(columns: Array, numbers: Index) -> Array:
    """Return the first column of each number."""
    return columns[:, np.unique(numbers, return_index=True)[1]]


def _runs(rows: GroupTotals) -> tuple[slice, ...] | None:
    """Return the group's units as runs of neighbours, or None if the runs are too short to save time."""
    if not len(rows.units):
        return None
    breaks = np.flatnonzero(np.diff(rows.units) != 1) + 1
    if (len(breaks) + 1) * LONG_RUN > len(rows.units):
        return None
    ends = [*(rows.units[breaks - 1] + 1).tolist(), int(rows.units[-1]) + 1]
    return tuple(slice(first, end) for first, end in zip(rows.units[[0, *breaks]].tolist(), ends, strict=True))
