"""p values corrected for how many were looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from crushtest.metrics import Array
from crushtest.records import Contrast

Correction = Literal["benjamini-hochberg", "holm"]


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p that bound the false discovery rate (Benjamini and Hochberg 1995, step up)."""
    count = len(p)
    order = np.argsort(p, kind="stable")[::-1]
    steps = p[order] * count / np.arange(count, 0, -1)
    return _in_order(np.minimum(np.minimum.accumulate(steps), 1.0), order)


def holm(p: Array) -> Array:
    """Adjusted p that bound the chance of one false claim in the family (Holm 1979, step down)."""
    count = len(p)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(count, 0, -1)
    return _in_order(np.minimum(np.maximum.accumulate(steps), 1.0), order)


def _in_order(values: Array, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    restored = np.empty_like(values)
    restored[order] = values
    return restored


CORRECTIONS: dict[Correction, Callable[[Array], Array]] = {
    "benjamini-hochberg": benjamini_hochberg,
    "holm": holm,
}


def adjust(contrasts: Sequence[Contrast], correction: Correction = "benjamini-hochberg") -> list[Contrast]:
    """The contrasts with p_adjusted; the family is all rows given that have a p."""
    known = [row for row in contrasts if row.p is not None]
    adjusted = CORRECTIONS[correction](np.array([row.p for row in known], np.float64)) if known else np.array([])
    found = iter(adjusted.tolist())
    return [replace(row, p_adjusted=next(found)) if row.p is not None else row for row in contrasts]
