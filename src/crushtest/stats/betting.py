"""Exact bounds of a finite pool's mean, for numbers between 0 and 1 drawn without replacement, by betting.

Under a null mean each bet is fair, so that capital is a martingale: it exceeds 1 / error at any time with a chance of
at most `error` (Ville). The means that no capital has refuted form a confidence sequence, valid whenever one looks.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86, 2024, section 5.
The capital is the mean of those of 20 constant bets.
"""

from __future__ import annotations

from math import log

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval

BETS = 20
LEAST_BET, MOST_BET = 0.01, 0.95
"""Of the largest bet that cannot ruin: the bets are spread evenly on a log scale between these."""
STEPS = 50


def log_capital(drawn: Array, mean: float, pool: int) -> float:
    """Return the log of the capital of bets that a pool's mean is above `mean`, after these numbers [n] in order.

    Before each draw the bet is on what the mean of the rest would be. Infinite once that leaves [0, 1].
    """
    before = np.concatenate([[0.0], np.cumsum(drawn)])
    left = pool - np.arange(len(drawn) + 1)
    left[left == 0] = 1  # nothing is left: what is not drawn must add up to 0
    rest = (pool * mean - before) / left
    if (rest < -ROUNDING).any() or (rest > 1 + ROUNDING).any():
        return np.inf
    if mean <= 0:
        return 0.0
    rest = np.clip(rest[: len(drawn)], 1e-300, 1.0)
    bets = np.geomspace(LEAST_BET, MOST_BET, BETS)[:, None] / mean
    capitals = np.log1p(np.minimum(bets, MOST_BET / rest) * (drawn - rest)).sum(axis=1)
    return float(np.logaddexp.reduce(capitals) - log(BETS))


ROUNDING = 1e-12


def betting_interval(drawn: Array, pool: int, *, error: float) -> Interval:
    """Return the interval of a pool's mean; the chance that the mean is ever beyond one end is `error` at most."""
    return Interval(_lower(drawn, pool, error), 1 - _lower(1 - drawn, pool, error))


def _lower(drawn: Array, pool: int, error: float) -> float:
    """Return the largest mean below which every mean is refuted, by bisection from the mean of those drawn."""
    least, most = float(drawn.sum()) / pool, float(drawn.mean())
    if log_capital(drawn, least, pool) < -log(error):
        return least
    for _ in range(STEPS):
        middle = (least + most) / 2
        refuted = log_capital(drawn, middle, pool) >= -log(error)
        least, most = (middle, most) if refuted else (least, middle)
    return least
