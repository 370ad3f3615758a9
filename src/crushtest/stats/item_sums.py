"""What the answers of one arm add to one metric, item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import NOT_FINITE, Array, Metric, NoChoice, as_scores, everywhere
from crushtest.records import Answer, Item, ReadChoice, Score, Unanswered
from crushtest.stats.stored_choices import LENGTHS, Index, StoredChoices
from crushtest.stats.stored_items import Kinds, Watched, first_of_kinds, kinds_of, of_each, some_items

UNKNOWN, APART = -1, -2
"""In place of a case: not measured yet; the items of the kind have cases of their own."""

Answers = Mapping[str, Answer]
Scores = Mapping[str, Mapping[str, Score]]
Mask = NDArray[np.bool_]
Objects = NDArray[np.object_]


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
    states    [items] what must change for a flip, None for items that cannot flip; None if no item can
    outcome   [items] the counted outcome, or None
    reasons   [items] why they have no number; None for those that have one or that the metric is not about
    """

    columns: Array
    applies: Mask
    scored: Mask
    states: Objects | None
    outcome: Array | None
    reasons: Objects

    def unscored(self, rows: Index) -> str | None:
        """Return the commonest reason among some items; None if all have a number."""
        reasons = Counter(self.reasons[rows].tolist())
        del reasons[None]
        return next((reason for reason, _ in reasons.most_common(1)), None)


def measure_sums(metric: Metric, items: Sequence[Item], answers: Answers, scores: Scores) -> Sums:
    """Return the sums of every item. Numbers that are not finite and tied options count as unscored."""
    return Meter(metric, items).sums(Measured(answers, scores))


class _Case(NamedTuple):
    """What an item adds to a metric: its sums, what must change for a flip, and why it has no number."""

    columns: tuple[float, ...]
    state: object
    reason: str | None


class Meter:
    """Measures one metric of a task's items, arm after arm.

    Where all that counts of an answer is which option it picks (`from_pick`), a kind of items is measured with an
    option when an arm is the first to pick it, and looked up from then on. So is each item of a kind that the metric
    tells apart.
    """

    def __init__(self, metric: Metric, items: Sequence[Item]) -> None:
        self.metric, self._items = metric, items
        self.applies: Mask = applies_to(metric, items)
        alone = metric.partner_ids is None and metric.scorer is None and metric.reads is None
        rule = metric.from_pick
        self._rule = rule if alone and not isinstance(rule, bool) and rule in LENGTHS else None
        self._cases: list[_Case] = []
        self._place_of: dict[Hashable, int] = {}  # where an equal case stands in `_cases`
        self._of_kind: dict[int, Index] = {}  # option -> [kinds] place of the case of an item that picks it
        self._of_item: dict[int, Index] = {}  # option -> [items] the same, of kinds whose items differ

    def sums(self, measured: Measured) -> Sums:
        """Return the sums of one arm."""
        count, width = len(self._items), len(self.metric.columns)
        columns, scored = np.zeros((count, width)), np.zeros(count, bool)
        states, reasons = np.empty(count, object), np.empty(count, object)
        rows, (answers, scores) = np.flatnonzero(self.applies), measured
        if self._rule is not None and isinstance(answers, StoredChoices):
            picks = answers.picks(self._rule, self._items)[rows]
            picked, rows = rows[picks >= 0], rows[picks < 0]
            place = self._places(picked, picks[picks >= 0])
            sums, state, reason = zip(*self._cases, strict=True) if self._cases else ((), (), ())
            columns[picked] = np.array(sums).reshape(-1, width)[place]
            states[picked] = np.fromiter(state, object, len(state))[place]
            reasons[picked] = np.fromiter(reason, object, len(reason))[place]
            scored[picked] = np.array([each is None for each in reason], bool)[place]
            answers = answers.some(self._items, rows) if len(rows) else {}
        for row, item in zip(rows.tolist(), some_items(self._items, rows), strict=True):
            columns[row], states[row], reasons[row] = _measure(self.metric, item, answers, scores)
            scored[row] = reasons[row] is None
        outcome = columns[:, self.metric.columns.index(self.metric.outcome)] if self.metric.outcome else None
        states_known = _known_states(self.metric, states, outcome, scored)
        if not (self.applies & ~scored).any():
            reasons = np.broadcast_to(np.array(None, object), count)  # takes no memory
        return Sums(columns, self.applies, scored, states_known, outcome, reasons)

    @cached_property
    def _kinds(self) -> tuple[Kinds, list[Item]]:
        return kinds_of(self._items), first_of_kinds(self._items)

    def _places(self, rows: Index, picks: Index) -> Index:
        """Return [n] which of the cases known each of these items [n] is, given the option [n] that it picks."""
        places = np.empty(len(rows), np.int64)
        for option in np.unique(picks).tolist():
            places[picks == option] = self._picking(rows[picks == option], option)
        return places

    def _picking(self, rows: Index, option: int) -> Index:
        """Return [n] which case each of these items [n] is that pick one option."""
        kinds, first = self._kinds
        of_kind = self._of_kind.setdefault(option, np.full(len(first), UNKNOWN, np.int64))
        mine = kinds.of[rows]
        new = rows[of_kind[mine] == UNKNOWN]
        for kind in np.unique(kinds.of[new]).tolist():
            item = first[kind]
            watched = Watched(item)
            place = self._place(watched, item, option)
            of_kind[kind] = APART if watched.tells_apart else place
        places = of_kind[mine]
        if (apart := places == APART).any():
            places[apart] = self._one_by_one(rows[apart], option)
        return places

    def _one_by_one(self, rows: Index, option: int) -> Index:
        known = self._of_item.setdefault(option, np.full(len(self._items), UNKNOWN, np.int32))
        new = rows[known[rows] == UNKNOWN]
        for row, item in zip(new.tolist(), some_items(self._items, new), strict=True):
            known[row] = self._place(item, item, option)
        return known[rows]

    def _place(self, seen: Any, item: Item, option: int) -> int:
        """Return which case an item is that picks an option; the metric is given `seen` in its place."""
        answer = as_scores(option, len(item.request.options))  # type: ignore[union-attr]
        case = _case(self.metric, seen, answer, None)
        key = (np.array(case.columns).tobytes(), case.state, case.reason)  # bytes: -0.0 equals 0.0
        if key not in self._place_of:
            self._place_of[key] = len(self._cases)
            self._cases.append(case)
        return self._place_of[key]


def applies_to(metric: Metric, items: Sequence[Item]) -> Mask:
    """Return [items] which items a metric is about."""
    everyone = np.arange(len(items))
    if metric.applies_to is everywhere:
        return np.ones(len(items), bool)
    return np.array(of_each(items, everyone, lambda seen, item: bool(metric.applies_to(seen))), np.bool_)


def _measure(metric: Metric, item: Item, answers: Answers, scores: Scores) -> _Case:
    """Return what one item that a metric is about adds to it."""
    answer, score, reason = _scored_answer(metric, item, answers, scores)
    if reason is not None:
        return _Case((0.0,) * len(metric.columns), None, reason)
    return _case(metric, item, answer, score)


def _case(metric: Metric, item: Item, answer: Any, score: Any) -> _Case:
    """Return what an item with an answer and, where the metric needs one, a score adds to it."""
    nothing = (0.0,) * len(metric.columns)
    try:
        columns = metric.measure(item, answer, score)
    except NoChoice as none:
        return _Case(nothing, None, str(none))
    if not all(map(isfinite, columns)):
        return _Case(nothing, None, NOT_FINITE)
    return _Case(columns, _state(metric, item, answer, score), None)


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


def _known_states(metric: Metric, states: Objects, outcome: Array | None, scored: Mask) -> Objects | None:
    """Return the states, or the outcomes if the answers have no state of their own (a completion, profane or not)."""
    if metric.flip_key is None:
        return None
    if any(state is not None for state in states):
        return states
    if outcome is None:
        return None
    of_outcome = outcome.astype(bool).astype(object)
    of_outcome[~scored] = None
    return of_outcome
