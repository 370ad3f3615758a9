"""How much worse a contrast is: its change in the bad direction, with bounds."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from crushtest.gate.policy import Direction
from crushtest.records import Better, Contrast

BAD: dict[Better, Direction] = {"lower": "rise", "higher": "fall", "zero": "from_zero", "neither": "move"}


class Harm(NamedTuple):
    """A change counted so that more is worse: estimate, 95% interval, and the one-sided 95% bounds.

    For `from_zero` it is |value| - |dense|, the dense value taken as it was measured; for `move`, |difference|.
    """

    estimate: float
    low: float
    high: float
    low90: float
    high90: float


def harm_of(row: Contrast, direction: Direction | None) -> Harm | None:
    """The harm of a contrast, in the metric's own bad direction unless given; None where it has no interval."""
    ends = (row.low, row.high, row.low90, row.high90)
    if row.difference is None or row.dense is None or None in ends:
        return None
    low, high, low90, high90 = (float(end) for end in ends if end is not None)
    match direction or BAD[row.better]:
        case "rise":
            return Harm(row.difference, low, high, low90, high90)
        case "fall":
            return Harm(0.0 - row.difference, 0.0 - high, 0.0 - low, 0.0 - high90, 0.0 - low90)
        case "move":
            return Harm(abs(row.difference), *_sizes(0.0, low, high), *_sizes(0.0, low90, high90))
        case "from_zero":
            estimate = abs(row.dense + row.difference) - abs(row.dense)
            return Harm(estimate, *_sizes(row.dense, low, high), *_sizes(row.dense, low90, high90))


def _sizes(dense: float, low: float, high: float) -> tuple[float, float]:
    """Smallest and largest |dense + d| - |dense| for d from low to high."""
    ends = (abs(dense + low), abs(dense + high))
    least = 0.0 if dense + low <= 0 <= dense + high else min(ends)
    return least - abs(dense), max(ends) - abs(dense)


def items_enough(harm: Harm, margin: float, n: int) -> int | None:
    """About how many items would decide on which side of the margin this estimate lies: widths shrink as 1 / sqrt(n).

    None where the estimate lies on the margin: then no number would.
    """
    if harm.estimate < margin:
        width, room = harm.high90 - harm.estimate, margin - harm.estimate
    else:
        width, room = harm.estimate - harm.low, harm.estimate - margin
    if room <= 1e-12:
        return None
    return max(1, ceil(n * (width / room) ** 2))
