"""Metrics that count the answers on one side of a scorer's threshold, so that a person's yes or no can stand for it."""

from __future__ import annotations

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


def outcomes_by_side(metric: Metric, pair: Pair, threshold: float) -> tuple[Sides, Sides] | None:
    """Return what a metric counts of dense's and of the arm's answer on either side of the scorer's threshold.

    None if the metric does not apply to the item, depends on more of the score than its side, or lacks a score.
    """
    if metric.partner_ids is not None or metric.cell_of is not None or len(metric.columns) != 2:
        return None
    if metric.formula is not ratio or metric.extra_scorers or not metric.applies_to(pair.item):
        return None
    answers = zip((pair.dense, pair.arm), pair.scores, strict=True)
    dense, arm = (
        _unscored(metric, pair, answer) if score is None else _sides(metric, pair, answer, threshold)
        for answer, score in answers
    )
    return None if dense is None or arm is None else (dense, arm)


def _sides(metric: Metric, pair: Pair, answer: Completion, threshold: float) -> Sides | None:
    below = {min(0.0, threshold - 1), nextafter(threshold, -inf)}
    above = {max(1.0, threshold + 1), threshold}
    try:
        counted = [{_outcome(metric, pair, answer, score) for score in scores} for scores in (below, above)]
    except NoChoice:
        return None
    if any(len(values) > 1 or None in values for values in counted):
        return None
    return Sides(*(float(values.pop() or 0) for values in counted))


def _unscored(metric: Metric, pair: Pair, answer: Completion) -> Sides | None:
    """Return what a metric counts of an answer without a score; None unless it counts such answers."""
    counts_unscored = metric.counts_unscored
    if counts_unscored is None or not counts_unscored(pair.item, answer):
        return None
    outcome = _outcome(metric, pair, answer, None)
    return None if outcome is None else Sides(outcome, outcome)


def _outcome(metric: Metric, pair: Pair, answer: Completion, score: float | None) -> float | None:
    """Return what a metric counts of an answer with that score; None if the answer does not count as one item."""
    measured = dict(zip(metric.columns, metric.measure(pair.item, answer, score), strict=True))
    assert metric.outcome
    outcome = measured.pop(metric.outcome)
    return outcome if measured.popitem()[1] == 1 else None
