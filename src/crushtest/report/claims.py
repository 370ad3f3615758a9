"""The p values that a report judges by, corrected over everything that its reader is shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from crushtest.results import Contrast
from crushtest.stats.multiplicity import holm
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED

Key = tuple[str, str, str, str]

UNTESTED = (UNDEFINED, INCONCLUSIVE)
"""Verdicts that say of a comparison that it was not tested: no value, no interval, or too few clusters."""


def is_tested(row: Contrast) -> bool:
    """Return whether the comparison could have come out clear."""
    return row.p is not None and row.verdict not in UNTESTED


def corrected(rows: Iterable[Contrast]) -> dict[Key, float]:
    """Return p of the tested rows, corrected by Holm over all of them.

    Where nothing changed, at most 5% of studies have any row at 0.05 or below.
    """
    tested = {
        (row.arm, row.task, row.metric, row.group): row.p.value for row in rows if row.p is not None and is_tested(row)
    }
    adjusted = holm(np.array(list(tested.values()), np.float64)) if tested else np.array([])
    return dict(zip(tested, adjusted.tolist(), strict=True))


def judge(
    contrasts: Mapping[Key, Contrast], *, headlines: Iterable[Contrast], shown: Iterable[Contrast]
) -> dict[Key, Contrast]:
    """Return the contrasts with `p_adjusted` as the report needs it.

    headlines   every arm in every headline: the family that the first sentence speaks of
    shown       every arm in every measure shown over all items. The other measures are corrected over all of these
    The rows of groups keep the correction of the files.
    """
    p = corrected(shown) | corrected(headlines)
    return {
        key: replace(row, p=replace(row.p, adjusted=p[key])) if row.p is not None and key in p else row
        for key, row in contrasts.items()
    }


def judged_p(row: Contrast) -> float | None:
    """Return the corrected p of a contrast; the plain one where none was corrected, None without a test."""
    if row.p is None:
        return None
    return row.p.value if row.p.adjusted is None else row.p.adjusted
