"""Random weights for units: how often each is drawn, or how many of its clusters are exchanged."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from crushtest.stats.clusters import Index

Bytes = NDArray[np.uint8]
Weights = NDArray[np.uint8] | NDArray[np.int64]
"""Whole numbers, in bytes where there are many."""

MANY = 2000
"""Number of clusters above which `_many` is faster than counting draws one by one: below it, the set-up of a row costs
more than the draws."""
STEPS = 1 << 16
"""Values of the 16 random bits that a Poisson count is made from. Four counts take one 64-bit draw of the generator."""


def resampled(rng: np.random.Generator, counts: Index, size: int) -> Weights:
    """Draw n of n clusters with replacement, `size` times; return [size, units] how often each unit came."""
    total = int(counts.sum())
    if len(counts) < total:
        return rng.multinomial(total, counts / total, size=size)
    if total > MANY:
        return _many(rng, total, size)
    drawn = rng.integers(0, total, (size, total)) + total * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * total).reshape(size, total)


def _many(rng: np.random.Generator, total: int, size: int) -> Bytes:
    """Return [size, total] how often each of many clusters is drawn, several times faster than one by one.

    Independent Poisson counts, given their sum N, are a multinomial of N draws; adding total - N more draws makes one
    of `total` draws. The mean of the Poisson counts lies five standard deviations below 1 per cluster, so that N hardly
    ever exceeds `total`, and a row where it does is drawn again. They come from 16 random bits each: their
    probabilities are rounded to 1/65536.
    """
    thresholds = _poisson_thresholds(1 - 5 / sqrt(total))
    weights = np.empty((size, total), np.uint8)
    for row in weights:
        row[:] = _one_row(rng, thresholds, total)
    return weights


def _one_row(rng: np.random.Generator, thresholds: list[np.uint16], total: int) -> Bytes:
    reached = np.empty(total, np.bool_)
    while True:
        bits = rng.integers(0, 1 << 64, (total + 3) // 4, dtype=np.uint64).view(np.uint16)[:total]
        row = (bits >= thresholds[0]).view(np.uint8)
        for threshold in thresholds[1:]:  # faster than looking each number up in a table: it runs through vector units
            np.greater_equal(bits, threshold, out=reached)
            np.add(row, reached.view(np.uint8), out=row)
        missing = total - int(np.add.reduce(row, dtype=np.uint32))
        if missing >= 0:
            np.add.at(row, rng.integers(0, total, missing), np.uint8(1))
            return row


def _poisson_thresholds(mean: float) -> list[np.uint16]:
    """Return thresholds of a uniform number below 65536: at or above the j-th, the Poisson count is more than j."""
    thresholds: list[np.uint16] = []
    term, cumulated = exp(-mean), 0.0
    for count in range(20):
        cumulated += term
        term *= mean / (count + 1)
        threshold = round(cumulated * STEPS)
        if threshold >= STEPS:
            break
        thresholds.append(np.uint16(threshold))
    return thresholds


def swapped(rng: np.random.Generator, counts: Index, size: int) -> Weights:
    """Return [size, units] how many of each unit's clusters have both arms exchanged, each with probability 1/2."""
    if len(counts) < counts.sum():
        return rng.binomial(counts, 0.5, size=(size, len(counts)))
    needed = size * len(counts)
    words = rng.integers(0, 1 << 64, (needed + 63) // 64, dtype=np.uint64)
    return np.unpackbits(words.view(np.uint8), count=needed).reshape(size, len(counts))
