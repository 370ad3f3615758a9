"""Tests, effect sizes and bounds in closed form."""

from __future__ import annotations

from math import asin, sqrt

import numpy as np

from crushtest.metrics import Array

POWER = 0.8


def mcnemar(up: int, down: int) -> float:
    """Exact two-sided p that flips up and flips down are equally likely (McNemar 1947, binomial form)."""
    from scipy.special import bdtr

    flips = up + down
    return min(1.0, 2 * float(bdtr(min(up, down), flips, 0.5))) if flips else 1.0


def cohen_h(dense: float, value: float) -> float:
    """2 asin sqrt(value) - 2 asin sqrt(dense): the difference of two proportions on a scale of even variance."""
    return 2 * asin(sqrt(min(max(value, 0.0), 1.0))) - 2 * asin(sqrt(min(max(dense, 0.0), 1.0)))


def cohen_d(dense: Array, values: Array) -> float | None:
    """Mean difference over the root mean of both variances (d_av); None where nothing varies."""
    if len(values) < 2:
        return None
    spread = sqrt((float(np.var(dense, ddof=1)) + float(np.var(values, ddof=1))) / 2)
    return float(np.mean(values) - np.mean(dense)) / spread if spread > 0 else None


def detectable(standard_error: float, clusters: int) -> float:
    """The true difference that a two-sided test at 5% finds with a chance of 80%: (t.975 + t.80) * standard error."""
    from scipy.special import stdtrit

    freedom = clusters - 1
    return float(stdtrit(freedom, 0.975) + stdtrit(freedom, POWER)) * standard_error


def detectable_flips(pairs: int) -> float | None:
    """The same where no pair of a right/wrong outcome differs, so that there is no standard error.

    With flips in one direction only, six are needed for an exact McNemar p below 5%; this is the rate of flips at which
    six or more of `pairs` occur with a chance of 80%. None where even all flipping would not be enough.
    """
    from scipy.special import betaincinv

    return float(betaincinv(6, pairs - 5, POWER)) if pairs >= 6 else None
