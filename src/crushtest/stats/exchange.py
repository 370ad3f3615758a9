"""p of a difference: how often one as large comes out when the two arms are exchanged at random, cluster by cluster."""

from __future__ import annotations

import numpy as np

from crushtest.metrics import Array

ENOUGH_BEYOND = 10
"""With fewer draws as large as the difference, their share is too coarse, and the tail is fitted."""
TAIL = 250
"""How many of the largest draws the tail is fitted to; only where they are at most a quarter of all draws."""


def exchange_p(size: float, drawn: Array, changed: int) -> float:
    """Return the two-sided p of a difference of this size among those `drawn` [n] with the arms exchanged.

    A draw without a value counts as one that reaches it: it can only make p larger. Where fewer than `ENOUGH_BEYOND`
    of the draws do, the tail of the largest `TAIL` is fitted (`_tail`), so that p is not held up at 1 / (n + 1).

    changed   clusters in which the arms differ: no exact p is below 2 / 2^changed
    """
    sizes = np.abs(drawn)
    reached = int((~(sizes < size - 1e-12 * max(1.0, size))).sum())
    least = 2.0 ** (1 - min(changed, 1000))
    plain = max((1 + reached) / (1 + len(drawn)), min(1.0, least))
    if reached >= ENOUGH_BEYOND or len(drawn) < 4 * TAIL:
        return plain
    return min(plain, max(_tail(size, sizes), least))


def either_p(sizes: Array, drawn: Array, changed: int) -> float:
    """Return the p of the more extreme of two statistics of these sizes [2], each among those `drawn` [2, n].

    It is the share of draws whose own smaller p is as small as that of the sizes: the statistics depend on each other,
    and twice the smaller p would pay for both in full. That bound serves where the draws are too few.
    """
    from scipy.stats import rankdata

    bound = 2 * min(exchange_p(float(size), draws, changed) for size, draws in zip(sizes, drawn, strict=True))
    scale = np.where(sizes > 0, sizes, 1.0)[:, None]
    relative = np.column_stack([sizes, np.nan_to_num(np.abs(drawn), nan=np.inf)]) / scale
    reached = rankdata(-np.round(relative, 9), method="max", axis=1).min(axis=0)
    as_extreme = int((reached[1:] <= reached[0]).sum())
    if as_extreme < ENOUGH_BEYOND:
        return float(min(1.0, bound))
    return float((1 + as_extreme) / len(reached))


def _tail(size: float, drawn: Array) -> float:
    """Return the chance of reaching `size` by a generalized Pareto tail through the largest draws.

    Source: Knijnenburg et al., Fewer permutations, more accurate P-values, Bioinformatics 25, 2009. Its parameters are
    fitted by probability-weighted moments (Hosking and Wallis, Technometrics 29, 1987). Deviation: a tail that
    would have an end is replaced by an exponential one, which has none and so gives the larger p.
    """
    largest = np.sort(np.nan_to_num(drawn, nan=np.inf))[::-1]
    threshold = (largest[TAIL - 1] + largest[TAIL]) / 2
    excesses = largest[:TAIL][::-1] - threshold
    if not np.isfinite(excesses).all() or excesses[-1] <= 0 or size <= threshold:
        return 1.0
    mean = float(excesses.mean())
    weighted = float((excesses * (TAIL - np.arange(1, TAIL + 1)) / (TAIL - 1)).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else 0.0
    if shape <= 0:
        beyond = np.exp(-(size - threshold) / mean)
    else:
        beyond = (1 + shape * (size - threshold) / (mean * (1 - shape))) ** (-1 / shape)
    return float(TAIL / len(drawn) * beyond)
