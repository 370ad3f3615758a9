"""Simulated answers of clusters whose items move together, as counts: quick enough for thousands of studies."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from crushtest.metrics import Array


def even(clusters: int, items: int) -> Array:
    """Sizes [clusters], all alike."""
    return np.full(clusters, items)


def uneven(clusters: int, items: int) -> Array:
    """Sizes [clusters] of a lognormal distribution: of 20 clusters, the largest has five times the median."""
    at = (np.arange(clusters) + 0.5) / clusters
    return np.maximum(1, np.round(items * np.exp(0.8 * ndtri(at) - 0.3))).astype(int)


def outcomes(rng: np.random.Generator, studies: int, sizes: Array, chances: Array, rho: float) -> Array:
    """Counts [studies, clusters, outcomes]; the outcomes of two items of a cluster correlate by rho.

    With probability sqrt(rho) an item takes its cluster's common outcome instead of its own.
    """
    kinds = np.arange(len(chances))
    common = rng.choice(kinds, size=(studies, len(sizes)), p=chances)
    tied = rng.binomial(sizes, np.sqrt(rho), size=common.shape)
    return rng.multinomial(sizes - tied, chances) + tied[..., None] * (common[..., None] == kinds)


def without_some(rng: np.random.Generator, counts: Array, share: float) -> Array:
    """The same counts where this share of the items has no score."""
    return rng.binomial(counts, 1 - share)
