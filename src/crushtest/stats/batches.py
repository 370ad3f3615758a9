"""Replicates of one metric after another: those of all metrics and groups would be most of a comparison's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array
from crushtest.stats.clusters import ClusterTotals
from crushtest.stats.resample import Values, arms_of

NUMBERS_KEPT = 50_000_000
"""How many values (8 bytes each) are made at once, unless one metric has more."""

Make = Callable[[Sequence[int]], Values]
"""Places of metrics -> their values, in that order."""


class Replicates(NamedTuple):
    """Of one metric: groups [arms, groups, n] and its groups minus the rest [rests, arms, n]."""

    groups: Array
    rests: Array

    def of_arms(self, at: slice) -> Replicates:
        """Return those of some arms."""
        return Replicates(self.groups[at], self.rests[:, at])


class Batches:
    """Replicates of metrics, made for as many at once as may be kept, and forgotten when another's are asked for.

    The same clusters are drawn for every batch. Metrics that are not `needed` have no replicates (n = 0).
    """

    def __init__(
        self, units: ClusterTotals, make: Make, needed: Sequence[int], *, replicates: int, share: int = 1
    ) -> None:
        """`share` is how many such objects share the memory."""
        self._units, self._make = units, make
        numbers = arms_of(units.groups) * len(units.groups) * replicates * share
        size = max(1, NUMBERS_KEPT // max(1, numbers))
        self._batches = [tuple(needed[at : at + size]) for at in range(0, len(needed), size)]
        self._batch: tuple[int, ...] = ()
        self._values: Values | None = None

    def __call__(self, metric: int) -> Replicates:
        """Return the replicates of a metric."""
        rests = [rest.metric for rest in self._units.rests]
        batch = next((batch for batch in self._batches if metric in batch), None)
        if batch is None:
            arms = arms_of(self._units.groups)
            return Replicates(np.zeros((arms, len(self._units.groups), 0)), np.zeros((rests.count(metric), arms, 0)))
        if self._values is None or batch != self._batch:
            self._values = None  # before others take its memory
            self._batch, self._values = batch, self._make(batch)
        of_metric = np.array([rest == metric for rest in rests if rest in batch], np.bool_)
        return Replicates(self._values.groups[batch.index(metric)], self._values.rests[of_metric])
