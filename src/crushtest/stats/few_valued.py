"""Intervals of scores of answers that take few values: biased, against the stereotype, unknown.

When few answers differ from the rest, resampling the clusters cannot show what other clusters may do, and when all are
alike it shows nothing at all. So z^2 clusters that were not seen are added. Their items all have one of the values that
items of the task have in either arm, each value alike often. This is what Agresti and Coull do to a proportion (two
successes and two failures more), for any formula over sums. The ends stay honest at 0 of n and n of n, and with many
clusters the added ones no longer matter.

A variance that a few clusters carry is known no better than from a few: Student's t has the degrees of freedom that the
kurtosis of the clusters' influences leaves (Satterthwaite's), and the variance is inflated like the design effect of a
rate.

Source: Agresti and Coull, Approximate is better than "exact" for interval estimation of binomial proportions, The
American Statistician 52, 1998. The variance is the jackknife's over clusters. Agresti and Min (Statistics in Medicine
24, 2005) add half as much to pairs, which covers too seldom where one item in thirty changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.intervals import normal_quantile, student_quantile
from crushtest.stats.rates import INFLATION

MOST_VALUES = 16
"""Items with more distinct sums count as measured numbers."""
MOST_CODES = 4096
"""As many combinations of numbers are looked up in a table."""


def possible_values(arms: Sequence[Array]) -> Array | None:
    """Return the distinct per-item sums [values, k] of one or two arms [items, k] that count answers.

    None for measured numbers: more than `MOST_VALUES` distinct ones, or others than whole and half numbers.
    """
    import polars as pl

    if (rows := _few_whole(arms)) is not None:
        return rows if len(rows) <= MOST_VALUES else None
    distinct = pl.concat([pl.DataFrame(arm).unique() for arm in arms]).unique()  # by hash; numpy would sort all items
    rows = np.unique(distinct.to_numpy(), axis=0)
    return rows if 0 < len(rows) <= MOST_VALUES and not (2 * rows % 1).any() else None


def _few_whole(arms: Sequence[Array]) -> Array | None:
    """Return the distinct rows, sorted, if all numbers are few whole and half ones; None if they are not, or none."""
    if not len(arms[0]):
        return None
    codes, most = [np.zeros(len(arm), np.int64) for arm in arms], 1
    numbers: list[Array] = []
    for columns in zip(*(arm.T for arm in arms), strict=True):
        least, largest = min(float(each.min()) for each in columns), max(float(each.max()) for each in columns)
        steps = 2 * (largest - least) + 1
        if not steps * most <= MOST_CODES:  # NaN as well
            return None
        for code, column in zip(codes, columns, strict=True):
            step = (2 * (column - least)).astype(np.int64)
            if (least + step / 2 != column).any():
                return None
            code *= int(steps)
            code += step
        numbers.append(least + np.arange(steps) / 2)
        most *= int(steps)
    present = np.zeros(most, np.bool_)
    for code in codes:
        present[code] = True
    rest = np.flatnonzero(present)
    rows = np.empty((len(rest), len(numbers)))
    for column in reversed(range(len(numbers))):  # of any number: numpy unravels 64
        rest, place = np.divmod(rest, len(numbers[column]))
        rows[:, column] = numbers[column][place]
    return None if (2 * rows % 1).any() else rows


def extremes(arms: Sequence[Array]) -> Array:
    """Return the sums [2, k] of the items with the smallest and the largest first sum."""
    rows = np.concatenate(arms)
    return rows[[int(rows[:, 0].argmin()), int(rows[:, 0].argmax())]]


@dataclass(frozen=True)
class FewValued:
    """A statistic over clusters, and what clusters that were not seen could do to it.

    estimate     of one arm, or of the difference between two
    influences   [clusters] how far each cluster moves it, times `clusters`
    unseen       [arms, values] how far a cluster of each value in that arm would move it, times the same
    """

    estimate: float
    influences: Array
    unseen: Array
    clusters: int

    @property
    def varies(self) -> bool:
        """Return True if any cluster, seen or not, moves it."""
        return bool(self.influences.any() or self.unseen.any())

    def interval(self, level: float) -> Interval:
        """Return the two-sided interval of that level. It holds the estimate."""
        added = normal_quantile(level) ** 2
        mean = float(self.unseen.mean(axis=1).sum())
        square = float(self.unseen.var(axis=1).sum()) + mean**2
        squares = self.influences**2 * (1 + INFLATION / sqrt(self.clusters))
        total = float(squares.sum()) + added * square
        fourth = float(squares @ squares) + added * square**2
        centre = self.estimate + added * mean / (self.clusters + added)
        half = sqrt(total) / (self.clusters + added)
        half *= student_quantile(level, min(self.clusters, _known_from(total, fourth, self.clusters + added)))
        return Interval(centre - half, centre + half)


def _known_from(total: float, fourth: float, clusters: float) -> float:
    """Return how many clusters of a normal distribution would estimate a variance as well as these do.

    total, fourth   their sums of squares and of fourth powers. The variance of a variance is (kurtosis - 1) / clusters,
                    for a normal distribution 2 / clusters.
    """
    kurtosis = clusters * fourth / total**2 if total else 1.0
    return 1 + 2 * clusters / (kurtosis - 1) if kurtosis > 1 else inf


def unseen_influences(
    formula: Callable[..., Array], totals: Array, values: Array, items_per_cluster: float, clusters: int
) -> Array:
    """Return [values] how far one arm's statistic would move if one of its clusters were of each value, times clusters.

    totals   [k] of the arm's items. A value that leaves nothing to divide by moves it by 0.
    """
    replaced = totals * (1 - 1 / clusters) + items_per_cluster * values
    moved = clusters * (formula(*replaced.T) - formula(*totals[:, None]))
    return np.nan_to_num(moved, nan=0.0, posinf=0.0, neginf=0.0)
