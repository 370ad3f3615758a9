"""How large a difference may be: its interval, clipped to what is possible, and the size that it stays below."""

from __future__ import annotations

import math

from crushtest.metrics import AGAINST_REST, WORST
from crushtest.report.formats import show_bound, show_interval, show_value, unit_of_difference
from crushtest.results import Contrast
from crushtest.stats.effects import BAD, room_for_harm


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
    Hwang, Liu and Ruberg 1994). A bound that no rate could exceed anyway, or none that gets worse, says nothing and is
    left out.
    """
    if contrast.intervals is None or contrast.intervals.at90.low == contrast.intervals.at90.high:
        return ""
    bound = max(map(abs, contrast.intervals.at90))
    room = max(contrast.dense, 1 - contrast.dense) if unit == "rate" and contrast.dense is not None else math.inf
    if bound >= min(room, farthest(contrast, unit)) or not math.isfinite(bound) or room_text(contrast, unit, bound):
        return ""
    return f"less than {show_bound(bound, unit)}{unit_of_difference(unit)}"


def room_text(contrast: Contrast, unit: str, change: float) -> str:
    """Return `at 3.0% in dense, at most 3.0 points could be lost`; empty if dense leaves room for as much harm.

    change   how much a rate may get worse: a bound on its difference, or the smallest that would be noticed
    """
    derived = contrast.metric.endswith((WORST, AGAINST_REST))
    if unit != "rate" or contrast.dense is None or derived or contrast.better not in ("higher", "lower"):
        return ""
    room = max(0.0, room_for_harm(contrast.dense, (0.0, 1.0), BAD[contrast.better]))
    if change <= room:
        return ""
    most = f"at most {show_value(room, unit).rstrip('%')}{unit_of_difference(unit)}" if room else "nothing"
    way = "lost" if contrast.better == "higher" else "added"
    return f"at {show_value(contrast.dense, unit)} in dense, {most} could be {way}"


def no_bound(contrast: Contrast, unit: str) -> str:
    """Return what is to say where a difference has no bound: how little room dense leaves, if it does; else nothing."""
    ends = () if contrast.intervals is None else contrast.intervals.at90
    return room_text(contrast, unit, max(map(abs, ends), default=0.0))
