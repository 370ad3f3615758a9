"""Metrics that count the answers on one side of a scorer's threshold, so that a person's yes or no can stand for it."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, nextafter
from typing import TYPE_CHECKING, NamedTuple

from crushtest.metrics import Metric, NoChoice, ratio
from crushtest.records import Completion

if TYPE_CHECKING:
    from crushtest.study.labels import Pair


class Sides(NamedTuple):
    """What a metric counts of an answer below the scorer's threshold, and of the same answer at or above it."""

    below: float
    above: float

    @property
    def differ(self) -> bool:
        """Return False if the scorer changes nothing: text that is no longer language may count alike on both sides."""
        return self.below != self.above


def outcomes_by_side(metric: Metric, pairs: Iterable[Pair], threshold: float) -> dict[str, tuple[Sides, Sides]]:
    """Return, by item, what a metric counts of dense's and of the arm's answer on either side of the threshold.

    Items that the metric does not apply to, or whose answers lack a score that it needs, are left out. Empty if the
    side alone does not settle what it counts of every other pair, or if it counts alike on both sides in all of them.
    """
    if metric.partner_ids is not None or metric.cell_of is not None or len(metric.columns) != 2:
        return {}
    if metric.formula is not ratio or metric.extra_scorers:
        return {}
    outcomes: dict[str, tuple[Sides, Sides]] = {}
    for pair in pairs:
        answers = list(zip((pair.dense, pair.arm), pair.scores, strict=True))
        if not metric.applies_to(pair.item) or not all(_is_measured(metric, pair, *answer) for answer in answers):
            continue
        dense, arm = (_sides(metric, pair, answer, score, threshold) for answer, score in answers)
        if dense is None or arm is None:
            return {}
        outcomes[pair.item.id] = (dense, arm)
    return outcomes if any(side.differ for sides in outcomes.values() for side in sides) else {}


def _is_measured(metric: Metric, pair: Pair, answer: Completion, score: float | None) -> bool:
    return score is not None or bool(metric.counts_unscored and metric.counts_unscored(pair.item, answer))


def _sides(metric: Metric, pair: Pair, answer: Completion, score: float | None, threshold: float) -> Sides | None:
    """Return what a metric counts of an answer, without a score alike on both sides; None if a side settles nothing."""
    below: set[float | None] = {None} if score is None else {min(0.0, threshold - 1), nextafter(threshold, -inf)}
    above: set[float | None] = {None} if score is None else {max(1.0, threshold + 1), threshold}
    try:
        counted = [{_outcome(metric, pair, answer, each) for each in scores} for scores in (below, above)]
    except NoChoice:
        return None
    if any(len(values) > 1 or None in values for values in counted):
        return None
    return Sides(*(float(values.pop() or 0) for values in counted))


def _outcome(metric: Metric, pair: Pair, answer: Completion, score: float | None) -> float | None:
    """Return what a metric counts of an answer with that score; None if the answer does not count as one item."""
    measured = dict(zip(metric.columns, metric.measure(pair.item, answer, score), strict=True))
    assert metric.outcome
    outcome = measured.pop(metric.outcome)
    return outcome if measured.popitem()[1] == 1 else None
