"""The group that an arm harms most, with an interval and a p that account for having searched for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crushtest.metrics import WORST, Array
from crushtest.records import Better, Contrast
from crushtest.stats.cases import Case, difference
from crushtest.stats.intervals import UNDEFINED_SHARE, Interval, wide_quantile
from crushtest.stats.verdicts import verdict

MATTERS = 1e-12


class Searched(NamedTuple):
    """Groups of one attribute that have a difference, and what was found about their effects together."""

    attribute: str
    cases: tuple[Case, ...]
    spread: float
    spread_p: float


def worst_row(task: str, arm: str, metric: str, searched: Searched) -> Contrast:
    """The row `<metric>_worst` of an attribute.

    low, high   the worst group's part of a simultaneous 95% band over all groups: its difference +- c standard
                errors, c the 95% point of the largest deviation over the groups, in standard errors, of the bootstrap
    p           how often the largest difference over the groups, in standard errors, is as large when the arms are
                exchanged at random

    Both hold whichever group is named, and by whichever rule.
    """
    cases = [case for case in searched.cases if _usable(case)]
    better: Better = searched.cases[0].better
    name = metric + WORST
    if len(cases) < 2:
        seen = np.unique(np.concatenate([case.rows for case in searched.cases]))
        unscored = sum(case.n_unscored for case in searched.cases)
        head = (arm, task, name, searched.attribute, None, None, None, None, None, None, len(seen), unscored)
        reason = "fewer than two groups have a difference with an interval"
        return Contrast(*head, None, None, None, better, "undefined", reason=reason)
    errors = np.array([float(np.nanstd(difference(case.values))) for case in cases])
    at = int(np.argmax([harm(case) for case in cases]))
    worst, error = cases[at], float(errors[at])
    change = float(difference(worst.observed))
    bands = {level: _band(cases, errors, at, level) for level in (0.95, 0.90)}
    p = _p(cases, errors, change, error)
    return Contrast(
        arm,
        task,
        name,
        searched.attribute,
        float(worst.observed[0]),
        float(worst.observed[1]),
        change,
        *bands[0.95],
        p,
        worst.n,
        worst.n_unscored,
        None,
        None,
        None,
        better,
        verdict(better, change, bands[0.95], p, _distance(worst, bands[0.95], error)),
        clusters=worst.clusters,
        method=f"simultaneous band over {len(cases)} groups",
        p_method="exchange of arms within clusters, largest of all groups",
        low90=bands[0.90].low,
        high90=bands[0.90].high,
        worst=worst.group,
        spread=None if np.isnan(searched.spread) else searched.spread,
        spread_p=None if np.isnan(searched.spread_p) else searched.spread_p,
        caution=f"{worst.group} has only {worst.clusters} clusters" if worst.clusters < 20 else None,
    )


def harm(case: Case) -> float:
    """How far the arm moved in the bad direction: away from 0 for metrics best at 0, either way for `neither`."""
    dense, value = case.observed
    if case.better == "zero":
        return float(abs(value) - abs(dense))
    if case.better == "neither":
        return float(abs(value - dense))
    return float(value - dense) if case.better == "lower" else float(dense - value)


def _usable(case: Case) -> bool:
    if case.clusters < 2 or np.isnan(case.observed).any():
        return False
    return float(np.isnan(difference(case.values)).mean()) <= UNDEFINED_SHARE


def _largest(cases: list[Case], errors: Array, *, exchanged: bool) -> Array:
    """Per replicate the largest |deviation| over the groups, in standard errors; 0 for groups where nothing varies."""
    deviations = []
    for case, error in zip(cases, errors.tolist(), strict=True):
        if error <= MATTERS:
            continue
        centre = 0.0 if exchanged else float(difference(case.observed))
        deviations.append(np.abs(difference(case.exchanged if exchanged else case.values) - centre) / error)
    if not deviations:
        return np.zeros(cases[0].values.shape[1])
    largest: Array = np.fmax.reduce(deviations)
    return largest


def _band(cases: list[Case], errors: Array, at: int, level: float) -> Interval:
    """The worst group's part of the simultaneous band, as much wider as few clusters ask for."""
    change = float(difference(cases[at].observed))
    critical = float(np.nanquantile(_largest(cases, errors, exchanged=False), level))
    tail = (1 + level) / 2
    wider = wide_quantile(tail, min(case.clusters for case in cases)) / wide_quantile(tail, 10**9)
    half = critical * wider * float(errors[at])
    if errors[at] <= MATTERS and cases[at].shape == "rate":
        from scipy.special import ndtri

        z = float(ndtri(1 - (1 - level) / 2 / len(cases)))
        half = z * z / (cases[at].clusters + z * z)
    return Interval(change - half, change + half)


def _p(cases: list[Case], errors: Array, change: float, error: float) -> float:
    if error <= MATTERS:
        return 1.0
    largest = _largest(cases, errors, exchanged=True)
    reached = ~(largest < abs(change) / error * (1 - MATTERS))
    return float((1 + reached.sum()) / (1 + len(largest)))


def _distance(case: Case, band: Interval, error: float) -> Interval | None:
    """For metrics best at 0: |value| - |dense| with the same number of its standard errors on either side."""
    if case.better != "zero" or error <= MATTERS:
        return None
    size = np.abs(case.values)
    half = (band.high - band.low) / 2 / error * float(np.nanstd(size[1] - size[0]))
    return Interval(harm(case) - half, harm(case) + half)
