"""How much worse a contrast is: its change in the bad direction, with bounds."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from crushtest.results import Contrast
from crushtest.stats.effects import BAD, Direction, harm
from crushtest.stats.rates import FEWEST_TESTABLE
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED

ROUNDING = 1e-12
MOST_TIMES = 1000
"""A required number of clusters beyond this multiple of the study's is no useful advice."""


class Harm(NamedTuple):
    """A change counted so that more is worse: estimate, 95% interval, and the one-sided 95% bounds.

    For `from_zero` the harm is |value| - |dense|. Its upper bounds hold whatever dense's own sign is (`sizes`), and the
    lower ones take dense's value as exact. For `move` it is |difference|.
    """

    estimate: float
    low: float
    high: float
    low90: float
    high90: float


def harm_of(row: Contrast, direction: Direction | None) -> Harm | None:
    """Return the harm of a contrast, in the metric's own bad direction unless given; None without an interval."""
    estimate = estimated_harm(row, direction)
    if estimate is None or row.dense is None or row.intervals is None:
        return None
    low, high, low90, high90 = (*row.intervals.at95, *row.intervals.at90)
    match direction or BAD[row.better]:
        case "rise":
            return Harm(estimate, low, high, low90, high90)
        case "fall":
            return Harm(estimate, 0.0 - high, 0.0 - low, 0.0 - high90, 0.0 - low90)
        case "move":
            return Harm(estimate, *sizes(0.0, low, high), *sizes(0.0, low90, high90))
        case "from_zero":
            return Harm(estimate, *sizes(row.dense, low, high), *sizes(row.dense, low90, high90))


def estimated_harm(row: Contrast, direction: Direction | None) -> float | None:
    """Return the harm alone, without bounds; None without a difference."""
    if row.difference is None or row.dense is None:
        return None
    return harm(row.dense, row.difference, direction or BAD[row.better])


def sizes(dense: float, low: float, high: float) -> tuple[float, float]:
    """Return bounds of |dense + d| - |dense| for d from low to high.

    The upper one is |d| where dense + d has another sign than dense: no change of size is more than the change, and
    whether dense itself was measured on the right side of 0 is not certain there.
    """
    least = 0.0 if dense + low <= 0 <= dense + high else min(abs(dense + low), abs(dense + high))
    most = max(abs(end) if changes_sign(dense, end) else abs(dense + end) - abs(dense) for end in (low, high))
    return least - abs(dense), most


def changes_sign(dense: float, change: float) -> bool:
    """Return whether a change leads from dense's value to 0 or to the other side of it."""
    return dense * (dense + change) <= 0


def unusable_interval(row: Contrast) -> str | None:
    """Return why nothing can be concluded from the interval of a contrast; None if it can be used.

    An interval of no width, or one that does not contain its own difference, says nothing about other items.
    """
    if row.difference is None or row.dense is None:
        return f"no value: {row.reason or UNDEFINED}"
    if row.intervals is None:
        return f"no interval: {row.reason or UNDEFINED}"
    if row.verdict == INCONCLUSIVE:
        return row.reason or INCONCLUSIVE
    (low, high), (low90, high90) = row.intervals.at95, row.intervals.at90
    if not low - ROUNDING <= row.difference <= high + ROUNDING:
        return "an interval that does not contain its own difference; run `crushtest compare` again"
    if min(high - low, high90 - low90) <= ROUNDING:
        return "an interval of no width"
    return None


def advice_on_clusters(row: Contrast, harm: Harm, margin: float, direction: Direction | None) -> int | None:
    """Return about how many clusters would decide (`clusters_enough`); None where a signed value may change its sign.

    The bound is then another one with more clusters.
    """
    signed = (direction or BAD[row.better]) == "from_zero"
    ends = () if row.intervals is None or not signed else row.intervals.at90
    if any(changes_sign(row.dense or 0.0, end) for end in ends):
        return None
    return clusters_enough(harm, margin, row.clusters)


def clusters_enough(harm: Harm, margin: float, clusters: int) -> int | None:
    """Return about how many clusters would decide on which side of the margin the estimate lies, or None.

    Widths shrink as 1 / sqrt(clusters). That says nothing if the estimate lies on the margin; if a bound is exactly 0,
    where no resample went the other way and the width shrinks differently; if the bound is beyond the margin already,
    so that only p is missing; or if the number is far beyond the clusters of the study.
    """
    bound = harm.high90 if harm.estimate < margin else harm.low
    width, room = abs(bound - harm.estimate), abs(margin - harm.estimate)
    if abs(bound) <= ROUNDING or room <= ROUNDING or width <= room or (width / room) ** 2 > MOST_TIMES:
        return None
    return max(FEWEST_TESTABLE, ceil(clusters * (width / room) ** 2))
