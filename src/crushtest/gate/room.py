"""Margins that no value of a metric could break: they prove nothing."""

from __future__ import annotations

from crushtest.gate.policy import Rule
from crushtest.gate.rows import margin_of
from crushtest.metrics import Metric
from crushtest.results import Contrast
from crushtest.stats.effects import BAD, Direction, room_for_harm
from crushtest.stats.harm_bounds import ROUNDING

VERBS: dict[Direction, str] = {
    "rise": "rise by",
    "fall": "fall by",
    "move": "move by",
    "from_zero": "move away from 0 by",
}


def is_slip(rule: Rule, row: Contrast, metric: Metric) -> bool:
    """Return whether no value that the metric can have is worse than dense's by more than the margin.

    `margin: 5` is a slip for five points of a rate, and would pass a total collapse.
    """
    margin = margin_of(rule, row)
    if margin is None or metric.bounds is None:
        return False
    low, high = metric.bounds
    from_zero = (rule.direction or BAD[row.better]) == "from_zero" and row.metric == metric.name
    return margin >= (max(abs(low), abs(high)) if from_zero else high - low)


def no_room(rule: Rule, row: Contrast, metric: Metric | None) -> str | None:
    """Return why a row's dense value leaves no room to get worse by more than the margin; None where it does.

    From 0.03 nothing falls by 0.1. Rows that are made from a metric's groups have other bounds and are left alone.
    """
    margin = margin_of(rule, row)
    if margin is None or row.dense is None or metric is None or metric.bounds is None or row.metric != metric.name:
        return None
    direction = rule.direction or BAD[row.better]
    if margin < room_for_harm(row.dense, metric.bounds, direction) - ROUNDING:
        return None
    return f"{rule.against} is at {row.dense:.4g}: it cannot {VERBS[direction]} more than the margin, {margin:.4g}"


def too_wide(rule: Rule, row: Contrast, metric: Metric | None) -> str:
    """Return a warning that the margin of a metric without bounds is larger than dense's value; else nothing.

    `margin: 10` of 1.2 bits is a slip for `10%`. Below 1 a margin is no percentage, and may well exceed a small mean.
    """
    if metric is None or metric.bounds is not None or not row.dense or rule.margin is None or rule.margin.relative:
        return ""
    size = rule.margin.size
    if size < 1 or size <= abs(row.dense):
        return ""
    return f"; the margin, {size:.4g}, is larger than {rule.against}'s value, {row.dense:.4g} (a share: {size:.4g}%)"
