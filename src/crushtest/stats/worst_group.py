"""The group that an arm harms most, with an interval and a p that account for having searched for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from crushtest.metrics import WORST, Array
from crushtest.records import Better
from crushtest.results import Contrast, Interval, Intervals, PValue, Spread
from crushtest.stats.effects import BAD, harm
from crushtest.stats.exchange import either_p
from crushtest.stats.rates import FEWEST_TESTABLE
from crushtest.stats.significance import test
from crushtest.stats.slices import FEW_CLUSTERS, Slice, difference
from crushtest.stats.uncertainty import Uncertainty, distance_interval, draw_spread, uncertainty
from crushtest.stats.verdicts import BETTER, CHANGED, UNDEFINED, WORSE, verdict


class Searched(NamedTuple):
    """Groups of one attribute that have a difference, with the spread of their effects and its p."""

    attribute: str
    slices: tuple[Slice, ...]
    spread: float
    spread_p: float


class _Candidate(NamedTuple):
    slice_: Slice
    uncertainty: Uncertainty


def worst_row(task: str, arm: str, metric: str, searched: Searched) -> Contrast:
    """Return the row `<metric>_worst` of an attribute.

    low, high   the worst group's part of simultaneous 95% intervals of all groups: its own at 1 - 0.05 / groups, cut
                at 0 where the verdict has a direction
    p           the group's own p or that of the attribute, whichever is larger (`_p`)

    The verdict needs the group's own 95% interval and this p, which pays for the search. The row names the group that
    is most surely harmed or, where none is, the one with the largest harm. Groups that cannot be tested are not
    searched; `caution` counts them.
    """
    candidates = list(_candidates(searched))
    better: Better = searched.slices[0].better
    left_out = len(searched.slices) - len(candidates)
    if len(candidates) < 2:
        seen = np.unique(np.concatenate([slice_.rows for slice_ in searched.slices]))
        reason = f"fewer than two of {len(searched.slices)} groups can be tested"
        return _empty(task, arm, metric, searched, better, n=len(seen), reason=reason)
    worst = max(candidates, key=_order)
    slice_ = worst.slice_
    change = float(difference(slice_.observed))
    band, band90 = (worst.uncertainty.interval(1 - (1 - level) / len(candidates)) for level in (0.95, 0.90))
    p = _p([candidate.slice_ for candidate in candidates], change, slice_)
    own95 = worst.uncertainty.interval(0.95)
    word = verdict(better, change, own95, p, distance_interval(slice_, own95) if better == "zero" else None)
    if word in (BETTER, WORSE, CHANGED):
        band, band90 = _on_its_side(band, change), _on_its_side(band90, change)
    cautions = [f"{left_out} of {len(searched.slices)} groups cannot be tested and are left out"] if left_out else []
    cautions += [f"{slice_.group} has only {slice_.clusters} clusters"] if slice_.clusters < FEW_CLUSTERS else []
    row = _empty(task, arm, metric, searched, better, n=slice_.n, reason=None)
    return replace(
        row,
        dense=float(slice_.observed[0]),
        value=float(slice_.observed[1]),
        difference=change,
        intervals=Intervals(
            at95=band, at90=band90, method=f"{worst.uncertainty.method}; simultaneous for {len(candidates)} groups"
        ),
        p=PValue(value=p, method="own, and exchange of arms within clusters over all groups"),
        n_unscored=slice_.n_unscored,
        verdict=word,
        clusters=slice_.clusters,
        worst=slice_.group,
        draws=draw_spread(slice_),
        caution="; ".join(cautions) or None,
    )


def _empty(
    task: str, arm: str, metric: str, searched: Searched, better: Better, *, n: int, reason: str | None
) -> Contrast:
    return Contrast(
        arm=arm,
        task=task,
        metric=metric + WORST,
        group=searched.attribute,
        dense=None,
        value=None,
        n=n,
        n_unscored=sum(slice_.n_unscored for slice_ in searched.slices),
        clusters=0,
        better=better,
        verdict=UNDEFINED,
        reason=reason,
        spread=None
        if np.isnan(searched.spread)
        else Spread(deviation=float(searched.spread), p=float(searched.spread_p)),
    )


def _order(candidate: _Candidate) -> tuple[float, float]:
    """Order by the least harm in the group's own interval, if that holds harm alone; then by the harm as measured.

    A noisy small group does not hide one that is surely harmed.
    """
    slice_ = candidate.slice_
    low, high = candidate.uncertainty.interval(0.95)
    if slice_.better == "zero":
        away = distance_interval(slice_, Interval(low, high))
        least = max(low, -high) if away is not None and away.low > 0 else 0.0
    else:
        least = {"lower": low, "higher": -high, "neither": max(low, -high)}[slice_.better]
    dense, value = slice_.observed
    return max(least, 0.0), harm(float(dense), float(value - dense), BAD[slice_.better])


def _candidates(searched: Searched) -> Iterator[_Candidate]:
    for slice_ in searched.slices:
        if slice_.clusters < FEWEST_TESTABLE or np.isnan(slice_.observed).any():
            continue
        row_intervals = uncertainty(slice_)
        if not isinstance(row_intervals, str):
            yield _Candidate(slice_, row_intervals)


def _p(slices: list[Slice], change: float, worst: Slice) -> float:
    """Return the p of the worst group: its own, or that of the attribute, whichever is larger.

    The attribute's is that of the more extreme of two statistics, compared with the arms exchanged at random: the
    largest difference over the groups in standard errors, which finds one group, and their sum weighted by items, which
    finds what happened to all. In ten groups of six clusters chance alone brings one group to its limit in every fourth
    study, so the first could not tell a collapse of all of them. The sum counts only where it has the group's
    direction: a gain elsewhere is no harm here.
    """
    own_p = test(worst).p
    error = _exchange_error(worst)
    if own_p is None or not error:
        return 1.0
    errors = {slice_.group: _exchange_error(slice_) for slice_ in slices}
    drawn = {slice_.group: difference(slice_.exchanged) for slice_ in slices}
    changed = sum(slice_.changed_clusters for slice_ in slices)
    moved = [np.abs(drawn[group]) / each for group, each in errors.items() if each]
    largest: Array = np.fmax.reduce(moved)
    total = sum(slice_.n * float(difference(slice_.observed)) for slice_ in slices)
    sums: Array = np.sum([slice_.n * drawn[slice_.group] for slice_ in slices], axis=0)
    weighted_sum = abs(total) if total * change > 0 else 0.0
    sizes = np.array([abs(change) / error, weighted_sum])
    return max(own_p, either_p(sizes, np.stack([largest, sums]), changed))


def _on_its_side(band: Interval, change: float) -> Interval:
    return Interval(max(0.0, band.low), band.high) if change > 0 else Interval(band.low, min(0.0, band.high))


def _exchange_error(slice_: Slice) -> float:
    drawn = difference(slice_.exchanged)
    return float(np.sqrt(np.nanmean(drawn**2))) if not np.isnan(drawn).all() else 0.0
