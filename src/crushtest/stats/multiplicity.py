"""p values corrected for how many were looked at, in families that follow the question.

1. Did anything change? All pooled rows (group `all`) of a task and arm.
2. Did it, for some attribute? Per metric, the rows of its attributes: worst groups in one family, gaps in another.
   Corrected is the p of the attribute (`attribute_p`); a worst group's own p must reach the level as well.
3. For which group? Per metric and attribute, its groups; none is below its attribute's worst group, so that a group is
   found only where the search over its attribute finds something.

One family over everything would let no group of ten clusters, whose p is 0.002 at best, ever be found among 900 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import ALL, WORST, Array
from crushtest.results import Contrast
from crushtest.stats.verdicts import ALPHA

Correction = Literal["benjamini-hochberg", "holm"]
Family = tuple[str, str]
Mask = NDArray[np.bool_]


def benjamini_hochberg(p: Array) -> Array:
    """Return adjusted p [n] that bound the false discovery rate (Benjamini and Hochberg 1995, step up)."""
    count = len(p)
    order = np.argsort(p, kind="stable")[::-1]
    steps = p[order] * count / np.arange(count, 0, -1)
    return _in_order(np.minimum(np.minimum.accumulate(steps), 1.0), order)


def holm(p: Array) -> Array:
    """Return adjusted p [n] that bound the chance of one false claim in the family (Holm 1979, step down)."""
    count = len(p)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(count, 0, -1)
    return _in_order(np.minimum(np.maximum.accumulate(steps), 1.0), order)


def within_reach(smallest: Array, alpha: float = ALPHA) -> Mask:
    """Return which tests [n] could come out clear beside the others, whatever their data, from their smallest p.

    Tarone (1990): the others are left out of the family, so that it is no larger than needed. As that is settled before
    a p is seen, correcting over the rest bounds the chance of one false claim.
    """
    for count in range(1, len(smallest) + 1):
        reached: Mask = smallest <= alpha / count
        if reached.sum() <= count:
            return reached
    return np.ones(len(smallest), np.bool_)


def _in_order(values: Array, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    """Undo a sort: put values [n] back to the places `order` [n] that they were taken from."""
    restored = np.empty_like(values)
    restored[order] = values
    return restored


CORRECTIONS: dict[Correction, Callable[[Array], Array]] = {
    "benjamini-hochberg": benjamini_hochberg,
    "holm": holm,
}


SEARCH_SHARE = 0.8
"""Share of the level that the search for a harmed group has: a collapse of six clusters, p 0.031, is still found alone.
The rest is enough for the permutation test, whose smallest p is 0.0005, among twenty attributes."""


def attribute_p(row: Contrast) -> float | None:
    """Return the p of "nothing changed in any group of this attribute" from its `_worst` row.

    It is the smaller of two, each divided by its share of the level (weighted Bonferroni). The first is the p of the
    search for a harmed group. It exchanges arms within clusters, so that of a group of ten clusters is 0.002 at best.
    The second is that of the permutation test which asks whether the effect depends on the group. It exchanges labels
    among all clusters of the attribute and has no such floor, but it sees nothing where all groups moved alike.
    """
    if row.p is None or row.spread is None:
        return _p(row)
    return min(1.0, row.p.value / SEARCH_SHARE, row.spread.p / (1 - SEARCH_SHARE))


def adjust(contrasts: Sequence[Contrast], correction: Correction = "benjamini-hochberg") -> list[Contrast]:
    """Return the contrasts with p_adjusted; the family is all rows given that have a p."""
    adjusted = _adjusted([_p(row) for row in contrasts], correction)
    return [_with(row, p) for row, p in zip(contrasts, adjusted, strict=True)]


def adjust_families(contrasts: Sequence[Contrast], correction: Correction = "benjamini-hochberg") -> list[Contrast]:
    """Return the contrasts of one task and arm, in their order, with p_adjusted by family."""
    families: dict[Family, list[int]] = {}
    for place, row in enumerate(contrasts):
        families.setdefault(_family(row), []).append(place)
    adjusted = list(contrasts)
    for places in families.values():
        rows = [contrasts[place] for place in places]
        tested = [attribute_p(row) if row.metric.endswith(WORST) else _p(row) for row in rows]
        for place, row, p in zip(places, rows, _adjusted(tested, correction), strict=True):
            adjusted[place] = _with(row, p)
    of_attribute = {
        (row.metric, row.group): row.p.adjusted for row in adjusted if row.metric.endswith(WORST) and row.p is not None
    }
    return [_not_below(row, of_attribute.get((row.metric + WORST, _attribute(row)))) for row in adjusted]


def _p(row: Contrast) -> float | None:
    return None if row.p is None else row.p.value


def _with(row: Contrast, adjusted: float | None) -> Contrast:
    """Return the row with its adjusted p, which is never below its own."""
    if row.p is None or adjusted is None:
        return row
    return replace(row, p=replace(row.p, adjusted=max(adjusted, row.p.value)))


def _adjusted(values: Sequence[float | None], correction: Correction) -> list[float | None]:
    tested = np.array([p for p in values if p is not None], np.float64)
    adjusted = iter(CORRECTIONS[correction](tested).tolist() if len(tested) else ())
    return [None if p is None else next(adjusted) for p in values]


def _family(row: Contrast) -> Family:
    """Pooled rows together; rows of attributes by metric; rows of groups by metric and attribute."""
    if row.group == ALL:
        return (ALL, "")
    return (row.metric, _attribute(row) if "=" in row.group else "")


def _attribute(row: Contrast) -> str:
    return row.group.partition("=")[0]


def _not_below(row: Contrast, least: float | None) -> Contrast:
    if row.p is None or row.p.adjusted is None or least is None or "=" not in row.group:
        return row
    return replace(row, p=replace(row.p, adjusted=max(row.p.adjusted, least)))
