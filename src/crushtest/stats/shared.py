"""What the metrics of a task ask alike of its items, made once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import Metric, everywhere
from crushtest.records import Item
from crushtest.stats.stored_items import Index, first_of_kinds, ids_of, kinds_of, of_each, some_items

Mask = NDArray[np.bool_]


class Shared:
    """Items of a task as its metrics see them, which must live as long: functions are known by their identity.

    A plug-in's function may be an object that cannot be hashed.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._applies: dict[int, Mask] = {}
        self._together: dict[tuple[int, int], Index] = {}

    def applies(self, metric: Metric) -> Mask:
        """Return [items] which items a metric is about."""
        key = id(metric.applies_to)
        if key not in self._applies:
            self._applies[key] = applies_to(metric, self._items)
        return self._applies[key]

    def together(self, metric: Metric) -> Index:
        """Return [n, answers] the rows of the items measured together, of those that a metric is about; -1: no item."""
        key = id(metric.applies_to), id(metric.partner_ids)
        if key not in self._together:
            rows, partners = np.flatnonzero(self.applies(metric)), metric.partner_ids
            if partners is None:
                self._together[key] = rows[:, None]
            else:
                others = [
                    [self._row_of.get(id_, -1) for id_ in partners(item)] for item in some_items(self._items, rows)
                ]
                self._together[key] = np.concatenate([rows[:, None], np.array(others, np.int64)], axis=1)
        return self._together[key]

    @cached_property
    def gold(self) -> Index:
        """[items] The place of the right option, -1 where there is none."""
        kinds, first = kinds_of(self._items), first_of_kinds(self._items)
        gold: Index = np.array([-1 if item.gold is None else item.gold for item in first], np.int64)[kinds.of]
        return gold

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(ids_of(self._items))}


def applies_to(metric: Metric, items: Sequence[Item]) -> Mask:
    """Return [items] which items a metric is about."""
    everyone = np.arange(len(items))
    if metric.applies_to is everywhere:
        return np.ones(len(items), bool)
    return np.array(of_each(items, everyone, lambda seen, item: bool(metric.applies_to(seen))), np.bool_)
