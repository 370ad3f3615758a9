"""The difference between one rate on two sides of a task's items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crushtest.metrics import Array, Metric, ratio
from crushtest.records import ChoiceScores, Item


def rate_difference(
    name: str,
    columns: tuple[str, str, str, str],
    counts: Callable[[Item, ChoiceScores], bool],
    is_first: Callable[[Item], bool],
    **settings: Any,
) -> Metric:
    """Measure a rate on the first side of the items minus the rate on the other side; 0 means no difference.

    columns   names of four sums: what counts and all items on the first side, then the same on the other side
    """

    def measure(item: Item, answer: ChoiceScores, score: float | None) -> tuple[float, ...]:
        counted, first = float(counts(item, answer)), float(is_first(item))
        return (counted * first, first, counted * (1 - first), 1 - first)

    def formula(counted_first: Array, first: Array, counted_other: Array, other: Array) -> Array:
        return ratio(counted_first, first) - ratio(counted_other, other)

    return Metric(
        name, columns, measure, formula, "zero",
        divides_by=(columns[1], columns[3]), unit="score", bounds=(-1.0, 1.0), role="bias", **settings,
    )  # fmt: skip
