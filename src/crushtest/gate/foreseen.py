"""Rows of an arm that was not asked every item: what the full run's verdict would be, if that is certain already.

The full run's difference lies in the look's interval. The row's own intervals hold whatever interval the full run would
have, so a harm beyond the margin there is one in the full run, and so is an equivalence. That the full run would *not*
be clearly beyond the margin is another question, and answered here.
"""

from __future__ import annotations

from crushtest.gate.policy import Rule
from crushtest.results import Contrast, Interval
from crushtest.stats.effects import BAD, Direction
from crushtest.stats.harm_bounds import Harm, sizes

NOT_YET = "not settled by the items asked"


def is_settled(rule: Rule, row: Contrast, harm: Harm, margin: float, *, searched: bool = False) -> bool:
    """Return whether the full run's verdict on a row, which is no regression for certain so far, is certain.

    searched   whether the row is one of a group that others of its attribute are searched with: it must then surely be
               no worse than dense, or within the margin, since it could also be worse but not clearly so
    """
    if row.look is None:
        return True
    if row.look.low is None or row.look.high is None or row.intervals is None or row.dense is None:
        return False
    direction = rule.direction or BAD[row.better]
    least, most = range_of_harm(row.dense, Interval(row.look.low, row.look.high), direction)
    at95, at90 = row.intervals.at95, row.intervals.at90
    below, above = row.look.low - at95.low, at95.high - row.look.high
    shortest = _towards(below, above, direction)
    no_regression = (most <= margin or most <= shortest) if searched else most - shortest <= margin
    if rule.sure == "regression":
        return no_regression
    above90 = _towards(at90.high - row.look.high, row.look.low - at90.low, direction)
    return harm.high90 < margin or (no_regression and least + above90 >= margin)


def range_of_harm(dense: float, change: Interval, direction: Direction) -> Interval:
    """Return the least and the largest harm of the changes in an interval."""
    match direction:
        case "rise":
            return change
        case "fall":
            return Interval(-change.high, -change.low)
        case "move":
            return Interval(*sizes(0.0, *change))
        case "from_zero":
            return Interval(*sizes(dense, *change))


def _towards(of_rise: float, of_fall: float, direction: Direction) -> float:
    """Return the reach of an interval on the side that decides; the shorter one where either may."""
    return {"rise": of_rise, "fall": of_fall}.get(direction, min(of_rise, of_fall))


def flips_settled(rule_most: float, row: Contrast) -> bool:
    """Return whether it is certain on which side of `max_flips` the full run's share of flips lies."""
    look = row.look
    if look is None:
        return True
    if look.flips_low is None or look.flips_high is None:
        return False
    return look.flips_low > rule_most or look.flips_high <= rule_most
