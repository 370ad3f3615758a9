"""Looks at a finite pool, and the bounds that hold at all of them together.

Blocks are asked in random order. After each look the mean change of the blocks asked estimates that of the pool, and
its error shrinks to nothing as the pool runs out: a Brownian bridge in the share f that was asked. On the clock
tau = f / (1 - f) a bridge is a Brownian motion, whose increments are independent. So the bounds of a group-sequential
design (Lan and DeMets, Biometrika 70, 1983; Armitage, McPherson and Rowe, JRSS A 132, 1969) hold for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import e, log1p, pi, sqrt
from typing import Literal

import numpy as np

from crushtest.metrics import Array

Bounds = Literal["normal", "exact"]
"""How sure the sequence is made: by a normal approximation at planned looks, or by betting (`betting`)."""

LOOKS = (0.05, 0.08, 0.12, 0.18, 0.25, 0.33, 0.45, 0.60, 0.80, 1.0)
"""Shares of the blocks after which a verdict is looked for. At the last one it is that of the full run."""
FEWEST_BLOCKS = 20
"""There is no look at fewer blocks: their variance says too little."""

POINTS = 401
PLACES, SMALLEST = 4, 1e-4
"""Shares are rounded to so many places, and no nearer to 0 or 1: a group may be asked whole before the last look."""
REACH = 8.0
"""Standard deviations below 0 at which the recursion's grid begins."""


def blocks_at_looks(blocks: int) -> tuple[int, ...]:
    """Return how many of a task's blocks are asked at each look.

    >>> blocks_at_looks(200)
    (10, 16, 24, 36, 50, 66, 90, 120, 160, 200)
    """
    return tuple(max(1, round(share * blocks)) for share in LOOKS)


def critical_values(shares: Sequence[float], *, last: float, error: float) -> Array:
    """Return by how many standard errors an end of the interval at each look lies off, [looks].

    shares   of the pool that were asked at each look, ascending and below 1
    last     share that the last look before the whole pool will have asked; where that is all of it, a little less
    error    chance that the pool's value is ever beyond one end
    """
    rounded = tuple(min(max(round(share, PLACES), SMALLEST), 1 - SMALLEST) for share in (*shares, last))
    return np.array(_critical(rounded[:-1], max(rounded), error))


@lru_cache(maxsize=4096)
def _critical(shares: tuple[float, ...], last: float, error: float) -> tuple[float, ...]:
    clock = np.array([share / (1 - share) for share in shares])
    spent = [error * log1p((e - 1) * min(1.0, log1p(-share) / log1p(-last))) for share in shares]
    return tuple((boundaries(clock, spent) / np.sqrt(clock)).tolist())


def boundaries(times: Array, spent: Sequence[float]) -> Array:
    """Return the bounds [looks] that a Brownian motion crosses by each of these times with these chances.

    Armitage, McPherson and Rowe's recursion: the density of the paths that have crossed no bound so far is carried
    from look to look, by Simpson's rule on a grid.
    """
    from scipy.special import ndtr

    bounds: list[float] = []
    places, density = np.zeros(1), np.ones(1)
    before, spent_before = 0.0, 0.0
    for time, spent_now in zip(times.tolist(), spent, strict=True):
        step = sqrt(time - before)
        low, high = 0.0, 40.0 * sqrt(time)
        for _ in range(60):
            middle = (low + high) / 2
            crossing = float(density @ ndtr((places - middle) / step))
            low, high = (middle, high) if crossing > spent_now - spent_before else (low, middle)
        bounds.append(high)
        grid = np.linspace(-REACH * sqrt(time), high, POINTS)
        kernel = np.exp(-(((grid[:, None] - places) / step) ** 2) / 2) / (step * sqrt(2 * pi))
        places, density = grid, kernel @ density * _simpson(grid)
        before, spent_before = time, spent_now
    return np.array(bounds)


def _simpson(grid: Array) -> Array:
    weights = np.full(len(grid), (grid[1] - grid[0]) / 3)
    weights[1:-1:2] *= 4
    weights[2:-1:2] *= 2
    return weights
