"""The gap of a metric: its largest minus its smallest value over the groups of an attribute."""

from __future__ import annotations

import numpy as np

from crushtest.metrics import Array
from crushtest.stats.units import Index

TOO_FEW = "fewer than two groups have a value"


def gap(values: Array) -> Array:
    """Max - min over the first axis (groups), undefined groups left out; NaN where fewer than two have a value."""
    enough = (~np.isnan(values)).sum(axis=0) >= 2
    with np.errstate(invalid="ignore"):
        return np.where(enough, np.fmax.reduce(values) - np.fmin.reduce(values), np.nan)


def gap_without(observed: Array, without: list[tuple[Index, Array]], units: int) -> Array:
    """The gap [units] with each unit's cluster left out; one that is in none of the groups leaves it as it is.

    observed   [groups]; without: per group its units and the values without each
    """
    values = np.repeat(observed[:, None], units, axis=1)
    for group, (mine, left) in enumerate(without):
        values[group, mine] = left
    return gap(values)
