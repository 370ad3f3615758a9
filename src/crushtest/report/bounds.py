"""How large a difference may be: its interval, clipped to what is possible, and the size that it stays below."""

from __future__ import annotations

import math

from crushtest.records import Contrast
from crushtest.report.formats import show_bound, show_interval, unit_of_difference


def farthest(contrast: Contrast, unit: str) -> float:
    """Return how far from 0 a difference can be. A rate lies between 0 and 1, a signed rate between -1 and 1."""
    if unit != "rate":
        return math.inf
    return 2.0 if contrast.better == "zero" else 1.0


def interval_text(contrast: Contrast, unit: str) -> str:
    """Return the 95% interval of a difference with signed ends, clipped to what is possible; empty without one."""
    if contrast.low is None or contrast.high is None:
        return ""
    limit = farthest(contrast, unit)
    low, high = (min(max(end, -limit), limit) for end in (contrast.low, contrast.high))
    text = show_interval(low, high, unit)
    return f"{text}, of no width: it proves nothing" if contrast.low == contrast.high else text


def less_than(contrast: Contrast, unit: str) -> str:
    """Return `less than 3.4 points`, with 95% confidence; empty if the data give no such bound.

    Both ends of the 90% interval are one-sided 95% bounds. The larger one bounds the size of the difference (Hsu,
    Hwang, Liu and Ruberg 1994). A bound that no rate could exceed anyway says nothing and is left out.
    """
    if contrast.low90 is None or contrast.high90 is None or contrast.low90 == contrast.high90:
        return ""
    bound = max(abs(contrast.low90), abs(contrast.high90))
    room = max(contrast.dense, 1 - contrast.dense) if unit == "rate" and contrast.dense is not None else math.inf
    if bound >= min(room, farthest(contrast, unit)) or not math.isfinite(bound):
        return ""
    return f"less than {show_bound(bound, unit)}{unit_of_difference(unit)}"
