"""Effect sizes and harms in closed form."""

from __future__ import annotations

from math import asin, sqrt
from typing import Literal

import numpy as np

from crushtest.metrics import Array
from crushtest.records import Better

Direction = Literal["rise", "fall", "move", "from_zero"]
BAD: dict[Better, Direction] = {"lower": "rise", "higher": "fall", "zero": "from_zero", "neither": "move"}
"""The direction in which a metric gets worse; either way where neither is better."""


def harm(dense: float, change: float, direction: Direction) -> float:
    """Return how far a change from dense's value goes in a bad direction; below 0 where it goes the other way."""
    match direction:
        case "rise":
            return change
        case "fall":
            return 0.0 - change
        case "move":
            return abs(change)
        case "from_zero":
            return abs(dense + change) - abs(dense)


def room_for_harm(dense: float, bounds: tuple[float, float], direction: Direction) -> float:
    """Return the largest harm that a value within these bounds can be, from dense's value.

    >>> room_for_harm(0.03, (0.0, 1.0), "fall")
    0.03
    """
    low, high = bounds
    return max(harm(dense, low - dense, direction), harm(dense, high - dense, direction))


def cohen_h(dense: float, value: float) -> float:
    """Return 2 asin sqrt(value) - 2 asin sqrt(dense): the difference of proportions on a scale of even variance."""
    return 2 * asin(sqrt(min(max(value, 0.0), 1.0))) - 2 * asin(sqrt(min(max(dense, 0.0), 1.0)))


def cohen_d(dense: Array, values: Array) -> float | None:
    """Return the mean difference of values [n] over the root mean of both variances (d_av); None if nothing varies."""
    if len(values) < 2:
        return None
    spread = sqrt((float(np.var(dense, ddof=1)) + float(np.var(values, ddof=1))) / 2)
    return float(np.mean(values) - np.mean(dense)) / spread if spread > 0 else None
