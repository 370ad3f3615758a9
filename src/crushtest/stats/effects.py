"""Effect sizes in closed form."""

from __future__ import annotations

from math import asin, sqrt

import numpy as np

from crushtest.metrics import Array


def cohen_h(dense: float, value: float) -> float:
    """2 asin sqrt(value) - 2 asin sqrt(dense): the difference of two proportions on a scale of even variance."""
    return 2 * asin(sqrt(min(max(value, 0.0), 1.0))) - 2 * asin(sqrt(min(max(dense, 0.0), 1.0)))


def cohen_d(dense: Array, values: Array) -> float | None:
    """Mean difference over the root mean of both variances (d_av); None where nothing varies."""
    if len(values) < 2:
        return None
    spread = sqrt((float(np.var(dense, ddof=1)) + float(np.var(values, ddof=1))) / 2)
    return float(np.mean(values) - np.mean(dense)) / spread if spread > 0 else None
