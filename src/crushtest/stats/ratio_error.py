"""A ratio of two sums over items, with its standard error over clusters."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array


class RatioError(NamedTuple):
    """A ratio, its standard error (None for fewer than two clusters), and how many items and clusters it is of."""

    value: float
    error: float | None
    items: int
    clusters: int


def ratio_error(total: Array, weight: Array, clusters: Sequence[str]) -> RatioError | None:
    """Return sum(total) / sum(weight) and its linearised standard error; None if nothing weighs anything.

    total, weight  [items]; an item without weight counts for nothing
    clusters       [items] the name of each item's cluster
    """
    held = weight > 0
    if not held.any():
        return None
    value = float(total[held].sum() / weight[held].sum())
    names, index = np.unique(np.array(clusters)[held], return_inverse=True)
    residuals = np.bincount(index, total[held] - value * weight[held], minlength=len(names)) / weight[held].sum()
    count = len(names)
    error = sqrt(count / (count - 1) * float(residuals @ residuals)) if count > 1 else None
    return RatioError(value, error, int(held.sum()), count)
