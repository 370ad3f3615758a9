"""Correct a scorer by people's labels of some pairs of answers: its error per arm, and the difference it would show.

A scorer's false alarms may differ between two arms, and then its difference between them is not the texts'. Labels of
a sample of pairs repair that: the corrected difference is the scorer's over all pairs, plus the mean of (people's -
scorer's difference) over the labelled ones, each weighted by one over its known chance of being labelled. That is
prediction-powered inference (Angelopoulos et al. 2023, Science 382:669, arXiv:2301.09633) with the rectifier of
stratified sampling (Fisch et al. 2024, arXiv:2406.04291; Cochran 1977, Sampling Techniques, chapter 12).

The strata are the four cells of what the scorer says of a pair (dense yes or no, arm yes or no). Within a cell the
scorer's difference is constant, so the estimate is the cells' shares times people's mean differences in them.

Deviation: the sources' intervals are normal. With a few dozen labels they are too short, and where all labels agree
with the scorer they have no width. Here the cells' shares and people's four outcomes in each cell have Dirichlet
posteriors, whose quantiles have nearly the normal interval's width where labels are many. The prior weight per outcome
is 1/2 (Jeffreys) for the difference, which it pulls alike from both sides, and 1/4 (Perks) for the rates of error,
which more would raise; simulations chose both (docs/labelling.md). Items of one cluster vary together: the interval is
stretched by the design effect and Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.intervals import normal_quantile, student_quantile
from crushtest.stats.significance import detectable

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 10_000
PRIOR = 0.5
PRIOR_OF_ERRORS = 0.25
UNSEEN = 0.25
"""Prior weight of each of the four cells' share: total 1, an item."""
LEVEL = 0.95
OUTCOMES = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
"""What can hold of a pair, (dense, arm), of scorers and of people alike. A pair's code is its row."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What a scorer and people say of the pairs of two arms, dense first. One row per item.

    scored      [items, 2], 0 or 1
    labels      [items, 2], 0 or 1; NaN in both where people did not label the pair
    open        [items, 2], whether a label can change what counts; where none can, `scored` is the truth
    inclusion   [items], the chance that the item was labelled; read for labelled items only
    clusters    [items], the number of each item's cluster
    """

    scored: Array
    labels: Array
    open: NDArray[np.bool_]
    inclusion: Array
    clusters: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its 95% interval. `value` None: no labelled answer to divide by."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ScorerError:
    """How a scorer errs in one arm, judged by people.

    false_positive   share of the answers without what it counts that it counts
    false_negative   share of the answers with it that it misses
    """

    false_positive: Share
    false_negative: Share


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A difference arm - dense as people would see it, and the scorer's error in both.

    at90        the 90% interval; difference, low and high are those of 95%
    scored      the scorer's own difference over all items
    labelled    pairs that people labelled, of all `items`; those that no label can change are none of them
    mde         smallest true difference that these items and labels would have shown with a chance of 80%
    """

    difference: float
    low: float
    high: float
    at90: Interval
    scored: float
    items: int
    labelled: int
    mde: float
    dense: ScorerError
    arm: ScorerError


def correct(pairs: Labelled, *, seed: int = 0) -> Corrected | str:
    """Return the corrected difference of two arms; in words why there is none.

    There is none without a label in every cell that holds items, and none of items that are all of one cluster. Pairs
    that no label can change enter the difference as they are, and no rate of error.
    """
    if (clusters := len(np.unique(pairs.clusters))) < 2:
        return "all items are of one cluster"
    asked: NDArray[np.bool_] = np.any(pairs.open, axis=1)
    cells, counts, sizes = _tabulate(pairs, asked)
    if lacking := [code for code in range(4) if sizes[code] and not counts[code].any()]:
        dense, arm = ("yes" if side else "no" for side in OUTCOMES[lacking[0]])
        return f"no labelled pair among the {sizes[lacking[0]]} that the scorer calls {dense} in dense and {arm} in arm"
    known = np.bincount(cells[~asked], minlength=4)
    means = np.divide(counts, counts.sum(axis=1, keepdims=True), out=np.zeros((4, 4)), where=sizes[:, None] > 0)
    change = OUTCOMES[:, 1] - OUTCOMES[:, 0]
    difference = float((sizes @ means + known) @ change / len(cells))
    drawn = _posterior(sizes, counts, PRIOR, seed, known).sum(axis=1)
    values = np.where(asked, (means @ change)[cells], change[cells])
    seen = asked & ~np.isnan(pairs.labels[:, 0])

    def interval(level: float) -> Interval:
        low, high = np.quantile(drawn @ change, [(1 - level) / 2, (1 + level) / 2])
        stretch = _stretch(pairs, seen, values, level)
        low, high = (float(np.clip(difference + stretch * (end - difference), -1, 1)) for end in (low, high))
        return Interval(min(low, difference), max(high, difference))

    low, high = interval(LEVEL)
    return Corrected(
        difference=difference,
        low=low,
        high=high,
        at90=interval(0.90),
        scored=float((pairs.scored[:, 1] - pairs.scored[:, 0]).mean()),
        items=len(cells),
        labelled=int(seen.sum()),
        mde=detectable(Interval(low, high), clusters),
        dense=_error(pairs, 0, seed),
        arm=_error(pairs, 1, seed),
    )


def _tabulate(pairs: Labelled, among: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Array, NDArray[np.int64]]:
    """Return every pair's cell; of some pairs the labelled ones, counted by [cell, outcome], and the cells' sizes."""
    cells = _codes(pairs.scored)
    seen = among & ~np.isnan(pairs.labels[:, 0])
    counts = _counts(cells[seen], _codes(pairs.labels[seen]), pairs.inclusion[seen])
    return cells, counts, np.bincount(cells[among], minlength=4)


def _codes(outcomes: Array) -> NDArray[np.int64]:
    """Return the row of `OUTCOMES` that each pair [items, 2] is."""
    return (2 * outcomes[:, 0] + outcomes[:, 1]).astype(np.int64)


def _counts(cells: NDArray[np.int64], outcomes: NDArray[np.int64], inclusion: Array) -> Array:
    """Return [cell, outcome]: the labelled pairs, weighted by 1 / inclusion.

    Weights are scaled so that a cell's sum is the number of evenly weighted pairs that would tell as much (Kish).
    """
    weights, squares = np.zeros((4, 4)), np.zeros(4)
    np.add.at(weights, (cells, outcomes), 1 / inclusion)
    np.add.at(squares, cells, inclusion**-2.0)
    scale = np.divide(weights.sum(axis=1), squares, out=np.zeros(4), where=squares > 0)
    counts: Array = weights * scale[:, None]
    return counts


def _posterior(
    sizes: NDArray[np.int64], counts: Array, prior: float, seed: int, known: NDArray[np.int64] | None = None
) -> Array:
    """Draw [draws, cell, outcome]: shares of all items with both. `known` are the items whose outcome is their cell."""
    random = np.random.default_rng(seed)
    sure = np.zeros(4, np.int64) if known is None else known
    shares = random.dirichlet(np.concatenate([sizes + UNSEEN, sure[sure > 0]]), DRAWS)
    outcomes = np.stack([random.dirichlet(counts[cell] + prior, DRAWS) for cell in range(4)], axis=1)
    joint: Array = shares[:, :4, None] * outcomes
    for place, cell in enumerate(np.flatnonzero(sure), start=4):
        joint[:, cell, cell] += shares[:, place]
    return joint


def _stretch(pairs: Labelled, seen: NDArray[np.bool_], expected: Array, level: float) -> float:
    """Return by how much clusters widen the interval: root of the design effect, at least 1, times t / z.

    Each item stands for what its cell lets expect, a labelled one also for what it differs from that, over its
    inclusion.
    """
    number = len(np.unique(pairs.clusters))
    if number == len(expected):
        return 1.0
    values = expected.astype(float)
    values[seen] += (pairs.labels[seen, 1] - pairs.labels[seen, 0] - values[seen]) / pairs.inclusion[seen]
    values -= values.mean()
    sums = np.bincount(pairs.clusters, weights=values)
    alone, together = float(values @ values), float(sums @ sums) * number / (number - 1)
    effect = max(1.0, together / alone) if alone > 0 else 1.0
    return sqrt(effect) * student_quantile(level, number) / normal_quantile(level)


def _error(pairs: Labelled, side: int, seed: int) -> ScorerError:
    """Return the scorer's error in one arm (0 dense, 1 arm), among the answers whose count a label can change."""
    _, counts, sizes = _tabulate(pairs, pairs.open[:, side])
    labelled = counts.sum(axis=1, keepdims=True)
    if ((sizes > 0) & (labelled[:, 0] == 0)).any() or not sizes.any():
        unknown = Share(value=None, low=0.0, high=1.0)
        return ScorerError(false_positive=unknown, false_negative=unknown)
    means = np.divide(counts, labelled, out=np.zeros((4, 4)), where=labelled > 0)
    joint = (sizes / sizes.sum())[:, None] * means  # [cell, outcome]: share of the answers with both
    drawn = _posterior(sizes, counts, PRIOR_OF_ERRORS, seed)
    yes = OUTCOMES[:, side] == 1

    def share(wrong: NDArray[np.bool_], people: NDArray[np.bool_]) -> Share:
        part, whole = (float(joint[rows][:, people].sum()) for rows in (wrong, slice(None)))
        ratios = drawn[:, wrong][:, :, people].sum(axis=(1, 2)) / drawn[:, :, people].sum(axis=(1, 2))
        low, high = map(float, np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        if whole == 0:
            return Share(value=None, low=0.0, high=1.0)
        value = part / whole
        return Share(value=value, low=min(low, value), high=max(high, value))

    return ScorerError(false_positive=share(yes, ~yes), false_negative=share(~yes, yes))
