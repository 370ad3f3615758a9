"""Number what occurs among whole numbers, without sorting them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]

SPARSE = 8
"""Numbers this many times as large as there are of them are sorted: a table of all would be larger than they are."""


class Numbered(NamedTuple):
    """The distinct numbers in ascending order, and the place [n] of each number among these."""

    distinct: Index
    place: Index


def numbered(numbers: Index) -> Numbered:
    """Return the distinct ones of numbers [n] from 0, and where each of the n stands among them.

    >>> numbered(np.array([7, 2, 7]))
    Numbered(distinct=array([2, 7]), place=array([1, 0, 1]))
    """
    present = _present(numbers)
    if present is None:
        distinct, place = np.unique(numbers, return_inverse=True)
        return Numbered(distinct, place.reshape(-1))
    return Numbered(np.flatnonzero(present), (np.cumsum(present) - 1)[numbers])


def count_distinct(numbers: Index) -> int:
    """Return how many of these numbers [n] from 0 differ."""
    present = _present(numbers)
    return len(np.unique(numbers)) if present is None else int(np.count_nonzero(present))


def _present(numbers: Index) -> NDArray[np.bool_] | None:
    """Return which numbers occur, up to the largest; None if they are too sparse."""
    largest = int(numbers.max(initial=-1))
    if largest >= SPARSE * len(numbers):
        return None
    present = np.zeros(largest + 1, np.bool_)
    present[numbers] = True
    return present
