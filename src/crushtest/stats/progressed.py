"""How far an arm was asked in a task."""

from __future__ import annotations

from dataclasses import dataclass

from crushtest.metrics import ALL
from crushtest.stats.clusters import Index
from crushtest.stats.sequential import Bounds
from crushtest.stats.shared import Mask


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """How far a task was asked.

    rank     [items] place of each item's block in the order of asking
    looks    blocks asked at each look so far
    last     blocks that the last look before the whole pool asks
    number   of the look, and `of` how many there are
    error    largest chance, over all rules, that the full run says something else
    rules    how many share it
    pooled   whether only rows over all items are wanted
    """

    rank: Index
    looks: tuple[int, ...]
    last: int
    number: int
    of: int
    error: float
    rules: int
    bounds: Bounds = "normal"
    pooled: bool = False

    @property
    def asked(self) -> Mask:
        """Return which items were asked."""
        asked: Mask = self.rank < self.looks[-1]
        return asked

    def error_of(self, group: str, groups: int) -> float:
        """Return the share of the error that a row has: a metric's groups share that of one rule."""
        return self.error / self.rules / (1 if group == ALL else max(1, groups))
