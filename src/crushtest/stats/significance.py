"""Decide whether a row can be tested, its p, and which difference it could have shown."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import NamedTuple

import numpy as np

from crushtest.results import Interval
from crushtest.stats.exchange import exchange_p
from crushtest.stats.intervals import distribution, smallest_wide_p
from crushtest.stats.outcome_bootstrap import Outcomes, outcomes_of, resample_outcomes
from crushtest.stats.rates import FEWEST_TESTABLE, sign_test
from crushtest.stats.slices import Slice, difference
from crushtest.stats.uncertainty import DIFFERENCE, two_sources
from crushtest.stats.verdicts import counted

POWER = 0.8
FEWEST_MOVED, MOVED_STEPS, MOVED_TIMES, MOVED_DRAWS = 0.01, 6, 4, 400
"""The search for a detectable change of outcomes: smallest share of the items, halvings, and draws and resamples."""

JACKKNIFE = "jackknife over clusters"
"""The method of a p that comes from a jackknife's interval."""
BOOTSTRAP = "bootstrap over clusters"
"""The method of a p that comes from the interval of a bootstrap of outcomes."""


class Tested(NamedTuple):
    """A two-sided p and how it was made. `untestable`: why no p of this design can reach 5%, or None."""

    p: float | None
    method: str
    untestable: str | None = None


def test(slice_: Slice) -> Tested:
    """Return the p of a difference.

    A rate has the exact p of the exchange of arms within clusters; with single items that is McNemar's. Metrics with a
    jackknife and formulas over counts of outcomes have the p of their interval. All others are exchanged at random (see
    `exchange`). The mean over draws has the larger p of two: that of its items, and that of its interval, which knows
    of the draws.
    """
    if slice_.draws:
        return _test_of_draws(slice_)
    few = f"cannot be tested with {counted(slice_.clusters, 'cluster')}" if slice_.clusters < FEWEST_TESTABLE else None
    if slice_.jackknife and not slice_.is_derived:
        return Tested(_jackknife_p(slice_), JACKKNIFE, few)
    if slice_.kinds and not slice_.is_derived:
        drawn = resample_outcomes(slice_, DIFFERENCE)
        return Tested(None if isinstance(drawn, str) else drawn.p(), BOOTSTRAP, few)
    if slice_.kind == "rate":
        change = slice_.columns[1][:, 0] - slice_.columns[0][:, 0]
        p = sign_test(np.bincount(slice_.cluster, weights=change).astype(np.float64))
        if p is not None:
            alone = slice_.clusters == slice_.n
            return Tested(p, "exact McNemar" if alone else "exact exchange of arms within clusters", few)
    size = abs(float(difference(slice_.observed)))
    p = exchange_p(size, difference(slice_.exchanged), slice_.changed_clusters)
    return Tested(p, "exchange of arms within clusters", few)


def _test_of_draws(slice_: Slice) -> Tested:
    """Return the p of a mean over draws. What the arms of all draws gave to a cluster is exchanged together."""
    found = two_sources(slice_)
    if slice_.kinds and not slice_.is_derived:  # counts of outcomes, of which no mean over draws has any
        first = test(slice_.draws[0])
        if isinstance(found, str) or not found[0].draw_error:
            return first
        return Tested(found[0].p(), f"{first.method}; Student's t between draws", first.untestable)
    columns = slice_.columns
    if slice_.kind == "rate":  # whole numbers, as the exact test needs them: its p is the same for a sum and a mean
        columns = tuple(np.sum([draw.columns[arm] for draw in slice_.draws], axis=0) for arm in (0, 1))
    items = test(replace(slice_, draws=(), columns=columns))
    if items.p is None or isinstance(found, str) or not found[0].draw_error:
        return items
    return Tested(max(items.p, found[0].p()), f"{items.method}; Student's t between draws", items.untestable)


def smallest_p(clusters: int, method: str | None) -> float:
    """Return a p below which no two-sided test by a method (`PValue.method`) comes, whatever the data.

    An exact test that exchanges the arms within clusters gives 2 / 2^clusters at best.

    >>> smallest_p(FEWEST_TESTABLE - 1, "exact McNemar") > 0.05 > smallest_p(FEWEST_TESTABLE, "exact McNemar")
    True
    """
    is_wide = (method or "").startswith((JACKKNIFE, BOOTSTRAP))
    return smallest_wide_p(clusters) if is_wide else min(1.0, 2.0 ** (1 - clusters))


def _jackknife_p(slice_: Slice) -> float | None:
    jackknifed = distribution(
        float(difference(slice_.observed)),
        difference(slice_.values),
        difference(slice_.without),
        slice_.counts,
        slice_.clusters,
        method="jackknife",
    )
    return None if isinstance(jackknifed, str) else 1.0 if jackknifed.flat else jackknifed.p()


def detectable(interval: Interval, clusters: int) -> float:
    """Return the true difference that a two-sided test at 5% finds with a chance of 80%.

    It is (t.975 + t.80) standard errors, where half of the 95% `interval` is taken for t.975 of them.
    """
    from scipy.special import stdtrit

    confident, powered = (float(stdtrit(clusters - 1, probability)) for probability in (0.975, POWER))
    return (interval.high - interval.low) / 2 * (1 + powered / confident)


def testable_change(clusters: int, items: int) -> float:
    """Return the true change of a rate with which enough clusters change for its test, with a chance of 80%.

    Its p cannot reach 5% unless `FEWEST_TESTABLE` clusters change, each by one item at the least. No difference below
    this is detectable, however narrow the interval.
    """
    from scipy.special import betaincinv

    share = float(betaincinv(FEWEST_TESTABLE, clusters - FEWEST_TESTABLE + 1, POWER))
    return share * clusters / items


def detectable_move(slice_: Slice) -> float | None:
    """Return the smallest change of a formula over outcomes that an arm's own interval detects; None if none can be.

    The interval of two arms that answer alike is too narrow to say so, because it widens as outcomes change. So a share
    of the items of one kind is moved from dense's outcomes to one outcome. The smallest change that is `detectable`
    counts, whichever kind and outcome it takes.
    """
    outcomes, moves = outcomes_of(slice_), []
    for row in range(len(outcomes.sums)):
        few, many = FEWEST_MOVED, 1.0
        smallest = _shown(outcomes, row, many, slice_)
        for _ in range(MOVED_STEPS if smallest is not None else 0):
            share = sqrt(few * many)
            change = _shown(outcomes, row, share, slice_)
            few, many = (share, many) if change is None else (few, share)
            smallest = smallest if change is None else change
        moves += [] if smallest is None else [smallest]
    return min(moves, default=None)


def _shown(outcomes: Outcomes, row: int, share: float, slice_: Slice) -> float | None:
    """Return the change if a share of one kind's items come to `row`, on average; None if it is not detectable."""
    random = np.random.default_rng((slice_.seed, 3))
    changes, least = [], []
    for _ in range(MOVED_TIMES):
        drawn = outcomes.as_if_moved(row, share, random).resample(DIFFERENCE, random, draws=MOVED_DRAWS)
        if isinstance(drawn, str):
            return None
        changes.append(abs(drawn.estimate))
        least.append(detectable(drawn.interval(0.95), slice_.clusters))
    return float(np.mean(changes)) if np.mean(changes) >= np.mean(least) else None


def possible_move(slice_: Slice) -> float | None:
    """Return the largest |difference| that a slice could show from dense's value; None where nothing bounds it."""
    if slice_.bounds is None:
        return None
    low, high = slice_.bounds
    dense = float(slice_.observed[0])
    return max(dense - low, high - dense)
