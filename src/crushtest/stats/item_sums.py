"""What the answers of one arm add to one metric, item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import NOT_FINITE, Array, Metric, NoChoice
from crushtest.records import Answer, Item, ReadChoice, Score, Unanswered

Answers = Mapping[str, Answer]
Scores = Mapping[str, Mapping[str, Score]]
Mask = NDArray[np.bool_]


class Measured(NamedTuple):
    """What an arm answered, by item, and what scorers say of it, by scorer and item."""

    answers: Answers
    scores: Scores


READ_ALONE = "letters were read from replies, which have no log-likelihoods; see the metrics of letters read"
NOT_READ = "options were scored by log-likelihood, so no letter was read from a reply"


@dataclass(frozen=True)
class Sums:
    """The per-item sums of one metric over the answers of one arm.

    columns   [items, k]; 0 in the rows of items that are not scored
    applies   [items] which items the metric is about
    scored    [items] which of those have an answer and, where the metric names a scorer, a number
    states    per item what must change for a flip; None if the item cannot flip
    outcome   [items] the counted outcome, or None
    reasons   per item why it has no number; None for those that have one or that the metric is not about
    """

    columns: Array
    applies: Mask
    scored: Mask
    states: list[object] | None
    outcome: Array | None
    reasons: list[str | None]

    def unscored(self, rows: Iterable[int]) -> str | None:
        """Return the commonest reason among some items; None if all have a number."""
        reasons = Counter(self.reasons[row] for row in rows)
        del reasons[None]
        return next((reason for reason, _ in reasons.most_common(1)), None)


def measure_sums(metric: Metric, items: Sequence[Item], answers: Answers, scores: Scores) -> Sums:
    """Return the sums of every item. Numbers that are not finite and tied options count as unscored."""
    columns = np.zeros((len(items), len(metric.columns)))
    applies = np.fromiter((metric.applies_to(item) for item in items), bool, len(items))
    scored = np.zeros(len(items), bool)
    states: list[object] = [None] * len(items)
    reasons: list[str | None] = [None] * len(items)
    for row in np.flatnonzero(applies).tolist():
        item = items[row]
        answer, score, reason = _scored_answer(metric, item, answers, scores)
        if reason is None:
            try:
                columns[row] = metric.measure(item, answer, score)
                reason = None if np.isfinite(columns[row]).all() else NOT_FINITE
            except NoChoice as none:
                reason = str(none)
        if reason is None:
            scored[row] = True
            states[row] = _state(metric, item, answer, score)
        else:
            columns[row] = 0.0
            reasons[row] = reason
    outcome = columns[:, metric.columns.index(metric.outcome)] if metric.outcome else None
    return Sums(columns, applies, scored, _known_states(metric, states, outcome, scored), outcome, reasons)


def _state(metric: Metric, item: Item, answer: Any, score: Any) -> object:
    """Return what must change for a flip; None if the metric has no flips, or if no option was chosen."""
    try:
        return metric.flip_key(item, answer, score) if metric.flip_key else None
    except NoChoice:
        return None


def _scored_answer(metric: Metric, item: Item, answers: Answers, scores: Scores) -> tuple[Any, Any, str | None]:
    """Return answer and score of an item (tuples if it has partners), and the reason if one is missing."""
    answer: Any = answers.get(item.id)
    if answer is None or isinstance(answer, Unanswered):
        return None, None, "not answered" if answer is None else answer.reason
    if metric.partner_ids is not None:
        answer = (answer, *(answers.get(partner) for partner in metric.partner_ids(item)))
        if any(each is None or isinstance(each, Unanswered) for each in answer):
            return None, None, "an item that is measured together with it was not answered"
    if reason := _of_another_kind(metric, answer if isinstance(answer, tuple) else (answer,)):
        return None, None, reason
    if metric.scorer is None:
        return answer, None, None
    numbers, reason = _numbers(metric, item, scores)
    if reason and metric.counts_unscored and metric.counts_unscored(item, answer):
        return answer, None, None
    together = metric.partner_ids is not None or metric.extra_scorers
    return answer, (numbers if together else numbers[0]) if reason is None else None, reason


def _of_another_kind(metric: Metric, answers: Sequence[Answer]) -> str | None:
    """Return why a metric does not count some answers: letters read from replies and log-likelihoods never mix."""
    if not metric.reads:
        return READ_ALONE if any(isinstance(answer, ReadChoice) for answer in answers) else None
    reads = [answer for answer in answers if isinstance(answer, ReadChoice)]
    if len(reads) < len(answers):
        return NOT_READ
    return next((read.reason for read in reads if read.pick is None), None) if metric.reads == "letter" else None


def _numbers(metric: Metric, item: Item, scores: Scores) -> tuple[tuple[float, ...], str | None]:
    """Return the numbers of a metric's scorers for an item and its partners, and the reason if there are too few."""
    ids = (item.id, *(metric.partner_ids(item) if metric.partner_ids else ()))
    numbers: list[float] = []
    for scorer in (metric.scorer, *metric.extra_scorers):
        assert scorer is not None
        given = [scores.get(scorer, {}).get(id_) for id_ in ids]
        present = [score.value for score in given if score is not None and score.value is not None]
        if not present or len(present) < metric.min_scored_share * len(ids):
            missing = next(score for score in given if score is None or score.value is None)
            return (), missing.brief if missing else f"not scored by {scorer}"
        numbers += present
    return tuple(numbers), None


def _known_states(metric: Metric, states: list[object], outcome: Array | None, scored: Mask) -> list[object] | None:
    """Return the states, or the outcomes if the answers have no state of their own (a completion, profane or not)."""
    if metric.flip_key is None:
        return None
    if any(state is not None for state in states):
        return states
    if outcome is None:
        return None
    return [bool(value) if is_scored else None for value, is_scored in zip(outcome, scored, strict=True)]
