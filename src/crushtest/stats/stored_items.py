"""Stored items as the columns of their file, and what statistics need of items: by columns where they are stored.

A million items as objects take 4 GB. They are made only where something reads them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from crushtest.records import Choices, Item
from crushtest.stats.numbering import Index as Index
from crushtest.stats.numbering import numbered

if TYPE_CHECKING:
    import polars as pl


class Kinds(NamedTuple):
    """Items with the same right option, number of options and facts are of one kind.

    of      [items] the number of each item's kind
    first   [kinds] the row of its first item
    """

    of: Index
    first: Index


class StoredItems(Sequence[Item]):
    """The items of one file.

    frame   of each item what statistics need: item, groups, cluster, and the number of its kind
    read    reads the items in some rows of the file, or all
    """

    def __init__(self, frame: pl.DataFrame, read: Callable[[Index | None], list[Item]]) -> None:
        self.frame, self._read = frame, read

    @classmethod
    def of_file(cls, frame: pl.DataFrame, read: Callable[[Index | None], list[Item]]) -> StoredItems:
        """Return the items of a whole file: item, groups, cluster, options, gold, facts, ..."""
        import polars as pl

        about = frame.select("gold", pl.col("options").list.len(), "facts")
        kinds = about.unique(maintain_order=True).with_row_index("kind")
        kind = about.join(kinds, on=about.columns, how="left", nulls_equal=True, maintain_order="left")["kind"]
        return cls(frame.select("item", "groups", "cluster").with_columns(kind), read)

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        return self._items[place]

    @cached_property
    def _items(self) -> list[Item]:
        return self._read(None)

    def some(self, rows: Index) -> list[Item]:
        """Return the items in these rows [n]; the file is read only if there are any."""
        if not len(rows):
            return []
        if "_items" not in self.__dict__ and 2 * len(rows) < self.frame.height:
            return self._read(rows)
        return [self._items[row] for row in rows.tolist()]

    def part(self, rows: Index) -> StoredItems:
        """Return the items in these rows [n], by columns."""
        return StoredItems(self.frame[rows], lambda some: self._read(rows if some is None else rows[some]))

    @cached_property
    def kinds(self) -> Kinds:
        """The kinds of the items."""
        numbers = self.frame["kind"].to_numpy().astype(np.int64)
        of = numbered(numbers).place
        first = np.full(int(of.max(initial=-1)) + 1, len(of))
        np.minimum.at(first, of, np.arange(len(of)))
        return Kinds(of, first)

    @cached_property
    def first_of_kinds(self) -> list[Item]:
        """The first item of each kind."""
        return self.some(self.kinds.first)


def some_items(items: Sequence[Item], rows: Index) -> list[Item]:
    """Return the items in these rows [n]."""
    return items.some(rows) if isinstance(items, StoredItems) else [items[row] for row in rows.tolist()]


def of_ids(items: Sequence[Item], held: Container[str]) -> Sequence[Item]:
    """Return the items whose ids are held, in their order."""
    rows = np.array([row for row, item in enumerate(ids_of(items)) if item in held], np.int64)
    return items.part(rows) if isinstance(items, StoredItems) else some_items(items, rows)


def ids_of(items: Sequence[Item]) -> list[str]:
    """Return the ids of all items."""
    return items.frame["item"].to_list() if isinstance(items, StoredItems) else [item.id for item in items]


def clusters_of(items: Sequence[Item]) -> list[str]:
    """Return the names of all items' clusters; empty for an item without one."""
    return items.frame["cluster"].to_list() if isinstance(items, StoredItems) else [item.cluster for item in items]


def id_column(items: Sequence[Item]) -> pl.Series:
    """Return the ids of all items as a column."""
    import polars as pl

    return items.frame["item"] if isinstance(items, StoredItems) else pl.Series(ids_of(items), dtype=pl.String)


def kinds_of(items: Sequence[Item]) -> Kinds:
    """Return the kinds of items."""
    if isinstance(items, StoredItems):
        return items.kinds
    numbers: dict[str, int] = {}
    of = np.fromiter((numbers.setdefault(_about(item), len(numbers)) for item in items), np.int64, len(items))
    return Kinds(of, np.unique(of, return_index=True)[1])


def first_of_kinds(items: Sequence[Item]) -> list[Item]:
    """Return the first item of each kind."""
    return items.first_of_kinds if isinstance(items, StoredItems) else some_items(items, kinds_of(items).first)


def _about(item: Item) -> str:
    options = len(item.request.options) if isinstance(item.request, Choices) else None
    return f"{item.gold} {options} {item.facts!r}"


def cluster_numbers(items: Sequence[Item]) -> Index:
    """Return [items] the number of each item's cluster, in order of appearance; an item without one is its own."""
    if not isinstance(items, StoredItems):
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(item.unit, len(numbers)) for item in items], np.int64)
    import polars as pl

    name = pl.when(pl.col("cluster") == "").then("item " + pl.col("item")).otherwise("cluster")
    ranked: Index = items.frame.select(name.rank("dense")).to_series().to_numpy().astype(np.int64) - 1
    first = np.unique(ranked, return_index=True)[1]
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[ranked]


def rows_by_group(items: Sequence[Item]) -> dict[str, Index]:
    """Return the rows of the items in each group, the groups sorted by name."""
    if not isinstance(items, StoredItems):
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            for group in dict.fromkeys(item.groups):
                rows.setdefault(group, []).append(row)
        return {name: np.array(rows[name], np.int64) for name in sorted(rows)}
    import polars as pl

    each = items.frame.select(pl.col("groups").list.unique()).with_row_index("row").explode("groups")
    each = each.drop_nulls("groups").sort("groups", "row")
    starts = np.flatnonzero(each["groups"].rle_id().diff().fill_null(1).to_numpy())
    parts = np.split(each["row"].to_numpy().astype(np.int64), starts[1:])
    return dict(zip(each["groups"].gather(starts).to_list(), parts, strict=True)) if each.height else {}


class Watched:
    """An item that notes whether anything is read of it that items of its kind do not share.

    What is computed from the rest is the same for all of them.
    """

    __slots__ = ("_item", "tells_apart")

    def __init__(self, item: Item) -> None:
        self._item, self.tells_apart = item, False

    def __getattr__(self, name: str) -> object:
        if name not in ("gold", "facts"):
            self.tells_apart = True
        return getattr(self._item, name)


def of_each(items: Sequence[Item], rows: Index, compute: Callable[[Item, Item], float]) -> list[float]:
    """Return [n] what is computed of the items in these rows, once per kind unless it tells the items of a kind apart.

    compute   is given an item that is watched, and the item itself for what all of its kind share
    """
    if not isinstance(items, StoredItems):
        return [compute(item, item) for item in some_items(items, rows)]
    kinds, first = items.kinds, items.first_of_kinds
    if 2 * len(first) > len(items):  # nearly every item is a kind of its own
        return [compute(item, item) for item in some_items(items, rows)]
    watched = [Watched(item) for item in first]
    of_kind = np.zeros(len(first))
    present = numbered(kinds.of[rows])
    for kind in present.distinct.tolist():
        of_kind[kind] = compute(watched[kind], first[kind])
    values = of_kind[kinds.of[rows]]
    is_apart = np.array([item.tells_apart for item in watched], np.bool_)[kinds.of[rows]]
    values[is_apart] = [compute(item, item) for item in some_items(items, rows[is_apart])]
    listed: list[float] = values.tolist()
    return listed
