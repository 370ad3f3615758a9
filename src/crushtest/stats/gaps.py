"""The gap of a metric: its largest minus its smallest value over the groups of an attribute.

A gap is above 0 by chance alone, and the bootstrap adds the same chance once more. So its interval is made from
intervals of the groups that hold all at once: whatever the groups' true values within those, the gap lies between the
least and the most that they allow.
"""

from __future__ import annotations

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval

TOO_FEW = "fewer than two groups have a value"


def gap(values: Array) -> Array:
    """Return max - min over the first axis (groups), undefined groups left out; NaN where fewer than two have one."""
    has_two = (~np.isnan(values)).sum(axis=0) >= 2
    with np.errstate(invalid="ignore"):
        return np.where(has_two, np.fmax.reduce(values) - np.fmin.reduce(values), np.nan)


def gap_interval(values: Array) -> Interval:
    """Return the gaps that groups allow whose values lie within `values` [groups, (low, high)]."""
    low, high = values.T
    return Interval(max(0.0, float(low.max() - high.min())), _largest(high[:, None] - low))


def gap_change_interval(changes: Array, dense: Array, arm: Array) -> Interval:
    """Return the changes of a gap that groups allow whose differences, dense values and arm values lie within these.

    All are [groups, (low, high)].
    """
    return Interval(-_largest_rise(-changes[:, ::-1], arm), _largest_rise(changes, dense))


def _largest_rise(changes: Array, start: Array) -> float:
    """Return the most that a gap can grow when each group moves within `changes` from a value within `start`.

    Where group i ends highest and j lowest, the gap after is (start_i + change_i) - (start_j + change_j), and the gap
    before at least start_i - start_j: it grows by change_i - change_j at most, less what i started below the highest
    group, and j above the lowest, at the least.
    """
    low, high = start.T
    below_highest = np.maximum(0.0, low.max() - high)
    above_lowest = np.maximum(0.0, low - high.min())
    rise = (changes[:, 1] - below_highest)[:, None] - (changes[:, 0] + above_lowest)
    return _largest(rise)


def _largest(of_pairs: Array) -> float:
    """Return the largest number [groups, groups] of two different groups."""
    return float(of_pairs[~np.eye(len(of_pairs), dtype=bool)].max())
