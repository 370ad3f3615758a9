"""A task's items as its metrics see them, laid out once for all arms that were asked them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from crushtest.metrics import Metric
from crushtest.records import Item
from crushtest.stats.clusters import Layout, cells_of, lay_out
from crushtest.stats.heterogeneity import Labels
from crushtest.stats.item_sums import Measured, Meter, Sums
from crushtest.stats.shared import Shared
from crushtest.stats.stored_choices import Index


class Summed(NamedTuple):
    """What an arm measured, and the sums of each metric."""

    measured: Measured
    sums: Sequence[Sums]


@dataclass(frozen=True)
class Asked:
    """Items and metrics of a task; what depends on them alone is made once."""

    metrics: Sequence[Metric]
    items: Sequence[Item]

    @cached_property
    def layout(self) -> Layout:
        """Clusters and groups."""
        return lay_out(self.items)

    @cached_property
    def cells(self) -> list[Index | None]:
        """Per metric the cells of its items (`cells_of`)."""
        known: dict[tuple[int, int], Index | None] = {}
        keys = [(id(metric.cell_of), id(metric.applies_to)) for metric in self.metrics]
        for key, metric in zip(keys, self.metrics, strict=True):
            if key not in known:
                known[key] = cells_of(metric, self.items)
        return [known[key] for key in keys]

    @cached_property
    def meters(self) -> list[Meter]:
        """What measures each metric."""
        shared = Shared(self.items)
        return [Meter(metric, self.items, shared) for metric in self.metrics]

    def labels(self, attribute: str, seed: int) -> Labels:
        """Return the labels of an attribute's groups, with the shuffles of that seed."""
        if (attribute, seed) not in self._labels:
            self._labels[attribute, seed] = Labels.of(self.layout, attribute, seed=seed)
        return self._labels[attribute, seed]

    @cached_property
    def _labels(self) -> dict[tuple[str, int], Labels]:
        return {}

    def summed(self, measured: Measured) -> Summed:
        """Return what an arm measured with the sums of each metric."""
        return Summed(measured, [meter.sums(measured) for meter in self.meters])
