"""What a contrast says, in a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crushtest.records import Better
from crushtest.results import Contrast, Interval

ALPHA = 0.05
BETTER, WORSE, CHANGED = "better", "worse", "changed"
SPURIOUS_IMPROVEMENT = "spurious improvement"
NO_CLEAR_DIFFERENCE = "no clear difference"
WITHIN_NOISE = "within measurement noise"
INCONCLUSIVE = "inconclusive"
UNDEFINED = "undefined"
UNCLEAR = frozenset((NO_CLEAR_DIFFERENCE, WITHIN_NOISE, INCONCLUSIVE, UNDEFINED))
VERDICTS = UNCLEAR | {BETTER, WORSE, CHANGED, SPURIOUS_IMPROVEMENT}
"""Every verdict that contrasts.parquet may hold; results.Contrast says what each means."""


def excludes_zero(interval: Interval | None) -> bool:
    """Return True if an interval lies wholly on one side of 0."""
    return interval is not None and (interval.low > 0 or interval.high < 0)


def verdict(
    better: Better, difference: float, interval: Interval | None, p: float | None, distance: Interval | None
) -> str:
    """Return `better`, `worse`, `changed`, `no clear difference`, or `inconclusive` without an interval.

    A difference is clear when its interval excludes 0 and its p, where it has one, is at most 0.05; the two disagree
    only for few or rare items, and then the cautious one decides. For metrics that are best at 0, `distance` is the
    interval of |value| - |dense|: a clear difference that is not clearly nearer to 0 or farther from it (a bias that
    changed its sign) is `changed`.
    """
    if interval is None:
        return INCONCLUSIVE
    if not excludes_zero(interval) or (p is not None and p > ALPHA):
        return NO_CLEAR_DIFFERENCE
    if better == "zero":
        if distance is None or not excludes_zero(distance):
            return CHANGED
        return WORSE if distance.low > 0 else BETTER
    if better == "neither":
        return CHANGED
    return BETTER if (difference > 0) == (better == "higher") else WORSE


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 item`, `1,012 items`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def clear_alone(verdicts: Sequence[str]) -> str:
    """Return what single draws alone would have said although all draws together do not; empty if none is clear."""
    words = [word for word in verdicts if word not in UNCLEAR]
    if not words:
        return ""
    what = " or ".join(dict.fromkeys(words))
    if len(words) == 1:
        return f"{what} in one draw of {len(verdicts)} only"
    return f"{what} in {len(words)} of {len(verdicts)} draws alone, and not clear over all of them"


def mark_spurious(row: Contrast, why: str) -> Contrast:
    """Return the row with `why` in front of its cautions; a verdict `better` becomes `spurious improvement`."""
    caution = "; ".join(text for text in (why, row.caution) if text)
    return replace(row, caution=caution, verdict=SPURIOUS_IMPROVEMENT if row.verdict == BETTER else row.verdict)
