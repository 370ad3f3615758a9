"""Clear, or not, among everything that is looked at together: Holm's correction over rows of several arms and tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from crushtest.results import Contrast, PValue
from crushtest.stats.multiplicity import holm, within_reach
from crushtest.stats.significance import smallest_p
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED, WITHIN_NOISE

Key = tuple[str, str, str, str]

UNTESTED = (UNDEFINED, INCONCLUSIVE)
"""Verdicts of comparisons that were not tested: no value, no interval, or too few clusters."""


def is_tested(row: Contrast) -> bool:
    """Return whether the comparison could have come out clear."""
    return row.p is not None and row.verdict not in UNTESTED


def corrected(rows: Iterable[Contrast]) -> dict[Key, Contrast]:
    """Return the tested rows with their p corrected by Holm over all of them.

    A row whose clusters are too few to come out clear among so many, whatever its data say, is inconclusive: it is left
    out of the family. If nothing changed, at most 5% of studies have any row at 0.05 or below.
    """
    tested = [(row, row.p) for row in rows if row.p is not None and is_tested(row)]
    reached = within_reach(np.array([smallest_p(row.clusters, p.method) for row, p in tested]))
    family = [pair for pair, could in zip(tested, reached, strict=True) if could]
    adjusted = holm(np.array([p.value for _, p in family], np.float64)).tolist()
    judged = [replace(row, p=replace(p, adjusted=value)) for (row, p), value in zip(family, adjusted, strict=True)]
    judged += [_too_few(row, p, len(tested)) for (row, p), could in zip(tested, reached, strict=True) if not could]
    return {_key(row): row for row in judged}


def _key(row: Contrast) -> Key:
    return row.arm, row.task, row.metric, row.group


def _too_few(row: Contrast, p: PValue, count: int) -> Contrast:
    row = replace(row, p=replace(p, adjusted=None))
    if row.verdict == WITHIN_NOISE:  # which repeats showed, and no test
        return row
    reason = f"{row.clusters} clusters are too few to settle one of {count} comparisons"
    return replace(row, verdict=INCONCLUSIVE, reason=reason)
