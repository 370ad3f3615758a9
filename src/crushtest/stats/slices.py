"""Everything that one row of results is made from: a metric in a group, observed and resampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, overload

import numpy as np

from crushtest.metrics import Array
from crushtest.records import Better
from crushtest.stats.clusters import Index
from crushtest.stats.intervals import acceleration
from crushtest.stats.numbering import count_distinct, numbered

Kind = Literal["rate", "mean", "other", "gap", "rest"]
"""What the value of a slice is.

rate    a share of items: outcomes 0 or 1
mean    a mean over items
other   any other formula over the sums of a group's items
gap     the largest difference between the groups of an attribute
rest    a group minus the others of its attribute
"""

FEW_CLUSTERS = 20
FEW_ITEMS = 100
ROUNDING = 1e-12
SKEWED = 0.05
"""Acceleration above which a few clusters dominate a mean: the skewness of a lognormal at n = 100."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One metric in one group. The first axis of every array is the arm: [dense, arm], or [arm] alone.

    metric            its place among the metrics of the sample
    observed          [arms]
    values            [arms, replicates] over resampled clusters
    without           [arms, units] with one cluster left out; `counts` says how many clusters each unit stands for
    exchanged         [arms, replicates] with the arms exchanged at random; empty for one arm
    rows              the items that count; `seen` those of the group that the metric is about
    undefined_reason  why the value is None although items have a number; `unscored`: why items have none
    jackknife         whether intervals and p come from `without` alone; `values` and `exchanged` are then NaN
    columns           per arm the sums [n, k] of those items, and `cluster` [n] the number of the cluster of each
    possible          the sums [values, k] that an item may have, where they are few (`few_valued`); else None
    kinds             for a formula over counts of outcomes: per kind of item the sums [rows, k] that one may have
    extremes          for a mean: the sums [2, k] of the items with the smallest and the largest number
    seed              of what is drawn for this slice alone
    parts             of a gap: the slices of its groups
    draws             of a mean over draws: the slices of the draws
    """

    metric: int
    name: str
    group: str
    better: Better
    kind: Kind
    observed: Array
    values: Array
    without: Array
    counts: Index
    exchanged: Array
    rows: Index
    seen: int
    clusters: int
    undefined_reason: str
    unscored: str
    jackknife: bool
    columns: Sequence[Array]
    cluster: Index
    formula: Callable[..., Array]
    possible: Array | None
    kinds: tuple[Array, ...]
    extremes: Array | None
    seed: int
    bounds: tuple[float, float] | None
    parts: tuple[Slice, ...] = ()
    draws: tuple[Slice, ...] = ()

    @property
    def is_paired(self) -> bool:
        """Return True if it holds two arms."""
        return len(self.observed) == 2

    @property
    def is_derived(self) -> bool:
        """Return True if it compares groups of an attribute and is no group itself."""
        return self.kind in ("gap", "rest")

    @cached_property
    def changed_clusters(self) -> int:
        """Return the number of clusters with an item whose sums differ between the two arms."""
        dense, arm = self.columns
        return count_distinct(self.cluster[(dense != arm).any(axis=1)])

    @cached_property
    def place(self) -> Index:
        """The number [n] of each item's cluster among those that have an item here."""
        return numbered(self.cluster).place

    @property
    def n(self) -> int:
        """Return how many items count: those scored in every arm compared."""
        return len(self.rows)

    @property
    def n_unscored(self) -> int:
        """Return how many items that the metric is about lack a number in at least one arm."""
        return self.seen - len(self.rows)

    @property
    def sampled(self) -> str:
        """Return what is resampled, in a word."""
        return "items" if self.clusters == self.n else "clusters"

    def of_arm(self, arm: int) -> Slice:
        """Return the slice of one of the two arms alone."""
        at = slice(arm, arm + 1)
        return replace(
            self,
            observed=self.observed[at],
            values=self.values[at],
            without=self.without[at],
            columns=self.columns[at],
            exchanged=self.exchanged[:0],
        )

    def why_undefined(self) -> str:
        """Return the reason for a value that is None."""
        if self.n:
            return self.undefined_reason
        if not self.seen:
            return "no item of this group that the metric is about"
        return f"none of {self.seen} items has a number: {self.unscored}"


class RowsOf(Sequence[Array]):
    """Rows of each of several arrays, taken when they are first asked for."""

    def __init__(self, arrays: Sequence[Array], rows: Index) -> None:
        self._arrays, self._rows = arrays, rows
        self._taken: dict[int, Array] = {}

    def __len__(self) -> int:
        return len(self._arrays)

    @overload
    def __getitem__(self, place: int) -> Array: ...
    @overload
    def __getitem__(self, place: slice) -> RowsOf: ...
    def __getitem__(self, place: int | slice) -> Array | RowsOf:
        if isinstance(place, slice):
            return RowsOf(self._arrays[place], self._rows)
        place = range(len(self))[place]
        if place not in self._taken:
            self._taken[place] = self._arrays[place][self._rows]
        return self._taken[place]


def difference(arms: Array) -> Array:
    """Return the second minus the first of the leading axis [2, ...].

    A difference by rounding alone is 0: an interval of it would exclude 0.
    """
    change: Array = arms[1] - arms[0]
    return np.where(np.abs(change) <= ROUNDING * np.maximum(np.abs(arms[0]), np.abs(arms[1])), 0.0, change)


def cautions(slice_: Slice, *, rare: int | None) -> str | None:
    """Return what a reader must know before trusting the interval, in words.

    rare   how many items decide a rate, if they are few
    """
    texts = []
    if slice_.clusters < FEW_CLUSTERS:
        texts.append(f"only {slice_.clusters} clusters to resample")
    if slice_.n < FEW_ITEMS:
        texts.append(f"only {slice_.n} items")
    if rare is not None:
        texts.append(f"only {rare} items decide it")
    if slice_.kind != "rate" and slice_.possible is None:
        without = difference(slice_.without) if slice_.is_paired else slice_.without[0]
        if abs(acceleration(without, slice_.counts)) > SKEWED:
            texts.append("a few clusters dominate it")
    return "; ".join(texts) or None
