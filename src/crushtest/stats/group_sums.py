"""Weighted totals of every group at once: weights [n, units] times columns, the cheap way for each group.

A group that holds most units joins one wide matrix product, zeros where it has no unit. A small one takes its own
units: views where they stand side by side, else a copy of their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crushtest.metrics import Array
from crushtest.stats.clusters import Index, Rows, Units

MULTIPLY, COPY, SKINNY = 0.05, 3.0, 0.1
"""Rough costs in nanoseconds: a multiplication of a wide product, copying a weight, a multiplication of a thin one."""
LONG_RUN = 64
"""Runs of neighbouring units at least this long on average are worth a product each."""


@dataclass(frozen=True)
class Products:
    """A plan. `wide` [units, sum of the widths of the groups in `joined`]; the other groups stand in `runs`."""

    wide: Array
    joined: tuple[tuple[int, slice], ...]
    runs: tuple[tuple[int, tuple[slice, ...] | None], ...]
    units: tuple[Index, ...]
    columns: tuple[Array, ...]

    def totals(self, weights: Array) -> list[Array]:
        """Per group, [width, n]."""
        found: list[Array] = [np.zeros((columns.shape[1], len(weights))) for columns in self.columns]
        if self.joined:
            product = (weights @ self.wide).T
            for group, place in self.joined:
                found[group] = product[place]
        for group, runs in self.runs:
            found[group] = self._thin(weights, group, runs)
        return found

    def _thin(self, weights: Array, group: int, runs: tuple[slice, ...] | None) -> Array:
        columns = self.columns[group]
        if runs is None:
            gathered: Array = weights[:, self.units[group]] @ columns
            return gathered.T
        total, done = np.zeros((len(weights), columns.shape[1])), 0
        for run in runs:
            count = run.stop - run.start
            total += weights[:, run] @ columns[done : done + count]
            done += count
        return total.T


def plan(units: Units, columns: Sequence[Array]) -> Products:
    """The plan for these columns, one array [units of the group, width] a group."""
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
    wide = np.zeros((len(units.counts), width))
    for group, place in joined:
        wide[units.groups[group].units, place] = columns[group]
    return Products(wide, tuple(joined), tuple(apart), tuple(rows.units for rows in units.groups), tuple(columns))


def _runs(rows: Rows) -> tuple[slice, ...] | None:
    """The group's units as runs of neighbours, or None where they are too short to be worth it."""
    if not len(rows.units):
        return None
    breaks = np.flatnonzero(np.diff(rows.units) != 1) + 1
    if (len(breaks) + 1) * LONG_RUN > len(rows.units):
        return None
    ends = [*(rows.units[breaks - 1] + 1).tolist(), int(rows.units[-1]) + 1]
    return tuple(slice(first, end) for first, end in zip(rows.units[[0, *breaks]].tolist(), ends, strict=True))
