"""The rows of an arm that was stopped: values of the items asked, with what the looks say of the full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crushtest.results import Contrast
from crushtest.stats.looked import NOT_IN_PARTS
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED


def with_looks(rows: Sequence[Contrast], looked: Sequence[Contrast]) -> list[Contrast]:
    """Return the rows of the items asked with what the looks say of the full run in place of their tests.

    Rows that are not looked at keep their values, and lose interval and p: those are made for a fixed number of items.
    """
    by_place: Mapping[tuple[str, str], Contrast] = {(row.metric, row.group): row for row in looked}
    return [_with_look(row, by_place.get((row.metric, row.group))) for row in rows]


def _with_look(row: Contrast, look: Contrast | None) -> Contrast:
    bare = replace(row, intervals=None, p=None, mde=None, spread=None, look=None if look is None else look.look)
    if row.verdict == UNDEFINED:
        return bare
    if look is None or look.intervals is None or look.difference is None:
        reason = NOT_IN_PARTS if look is None or look.reason is None else look.reason
        return replace(bare, verdict=INCONCLUSIVE, reason=reason)
    return replace(
        bare,
        dense=look.dense,
        value=look.value,
        difference=look.difference,
        intervals=look.intervals,
        clusters=look.clusters,
        verdict=look.verdict,
        reason=look.reason,
        worst=look.worst,
    )
