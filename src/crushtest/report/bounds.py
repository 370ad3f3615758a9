"""How large a difference may be: its interval, clipped to what is possible, and the size that it stays below."""

from __future__ import annotations

import math

from crushtest.report.formats import show_bound, show_interval, unit_of_difference
from crushtest.results import Contrast


def farthest(contrast: Contrast, unit: str) -> float:
    """Return how far from 0 a difference can be. A rate lies between 0 and 1, a signed rate between -1 and 1."""
    if unit != "rate":
        return math.inf
    return 2.0 if contrast.better == "zero" else 1.0


def interval_text(contrast: Contrast, unit: str) -> str:
    """Return the 95% interval of a difference with signed ends, clipped to what is possible; empty without one."""
    if contrast.intervals is None:
        return ""
    limit = farthest(contrast, unit)
    low, high = (min(max(end, -limit), limit) for end in contrast.intervals.at95)
    text = show_interval(low, high, unit)
    has_width = contrast.intervals.at95.low < contrast.intervals.at95.high
    return text if has_width else f"{text}, of no width: it proves nothing"


def less_than(contrast: Contrast, unit: str) -> str:
    """Return `less than 3.4 points`, with 95% confidence; empty if the data give no such bound.

    Both ends of the 90% interval are one-sided 95% bounds. The larger one bounds the size of the difference (Hsu,
    Hwang, Liu and Ruberg 1994). A bound that no rate could exceed anyway says nothing and is left out.
    """
    if contrast.intervals is None or contrast.intervals.at90.low == contrast.intervals.at90.high:
        return ""
    bound = max(map(abs, contrast.intervals.at90))
    room = max(contrast.dense, 1 - contrast.dense) if unit == "rate" and contrast.dense is not None else math.inf
    if bound >= min(room, farthest(contrast, unit)) or not math.isfinite(bound):
        return ""
    return f"less than {show_bound(bound, unit)}{unit_of_difference(unit)}"
