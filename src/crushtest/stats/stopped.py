"""The rows of an arm that was stopped: values of the items asked, with what the looks say of the full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crushtest.results import Contrast, Effect
from crushtest.stats.effects import cohen_h
from crushtest.stats.looked import NOT_IN_PARTS
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED


def with_looks(rows: Sequence[Contrast], looked: Sequence[Contrast]) -> list[Contrast]:
    """Return the rows of the items asked with what the looks say of the full run in place of their tests.

    Rows that are not looked at keep their values, and lose interval and p: those are made for a fixed number of items.
    """
    by_place: Mapping[tuple[str, str], Contrast] = {(row.metric, row.group): row for row in looked}
    return [_with_look(row, by_place.get((row.metric, row.group))) for row in rows]


def _with_look(row: Contrast, look: Contrast | None) -> Contrast:
    place = None if look is None else look.look
    bare = replace(row, intervals=None, p=None, mde=None, spread=None, flips=replace(row.flips, p=None), look=place)
    if row.verdict == UNDEFINED:
        return bare
    if look is None or look.intervals is None or look.difference is None:
        reason = NOT_IN_PARTS if look is None or look.reason is None else look.reason
        return replace(bare, verdict=INCONCLUSIVE, reason=reason)
    if row.worst != look.worst:  # the numbers of the items asked are those of another group
        bare = replace(bare, n=look.n, n_unscored=look.n_unscored, flips=replace(look.flips, p=None), options=None)
    return replace(
        bare,
        dense=look.dense,
        value=look.value,
        difference=look.difference,
        effect=_effect(row.effect, look),
        intervals=look.intervals,
        clusters=look.clusters,
        verdict=look.verdict,
        reason=look.reason,
        worst=look.worst,
    )


def _effect(of_asked: Effect, look: Contrast) -> Effect:
    """Return the effect of the look's values; none of means, whose variance is known of the items asked alone."""
    if look.dense is None or look.value is None:
        return Effect()
    ratio = None if of_asked.ratio is None or look.dense <= 0 or look.value < 0 else look.value / look.dense
    if of_asked.kind != "cohen_h":
        return Effect(ratio=ratio)
    return Effect(ratio=ratio, standardized=cohen_h(look.dense, look.value), kind="cohen_h")
