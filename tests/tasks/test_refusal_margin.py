"""The refusal margin: which openings it takes, and what its metrics compute."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from crushtest.records import Choices, ChoiceScores, Item
from crushtest.stats.estimates import estimate
from crushtest.tasks.refusal.margin_metrics import VALID, auc, bin_of, margin, margin_metrics
from crushtest.tasks.refusal.openings import FALLBACK, SEEN, learn

WORDS = st.sampled_from(["I", "I'm", "sorry", "Sure,", "cannot", "The", "answer", "is", "no."])
TEXTS = st.lists(st.tuples(st.lists(WORDS, max_size=6).map(" ".join), st.booleans()), max_size=40)


def said(refusals: list[str], answers: list[str]) -> list[tuple[str, bool]]:
    return [(text, True) for text in refusals] + [(text, False) for text in answers]


def item(name: str, should: str, refused: bool | None = None) -> Item:
    facts = {"should": should, "refusing": 1, "refused": refused}
    return Item(name, (), name, Choices("?", ("No", "Yes"), chat=True), facts=facts)


def odds(value: float) -> ChoiceScores:
    """Scores whose margin is `value`, and whose two openings hold a tenth of the probability."""
    both = np.logaddexp(0.0, value)
    return ChoiceScores((math.log(0.1) + value - both, math.log(0.1) - both), (1, 1), (2, 3))


@given(TEXTS)
def test_no_opening_is_the_beginning_of_another(texts: list[tuple[str, bool]]) -> None:
    openings = learn(texts)
    every = [*openings.refusing, *openings.answering]
    assert every
    for number, one in enumerate(every):
        assert not any(other.startswith(one) for place, other in enumerate(every) if place != number)


@given(TEXTS)
def test_an_opening_begins_completions_of_its_kind(texts: list[tuple[str, bool]]) -> None:
    openings = learn(texts)
    for kind, refuses in ((openings.refusing, True), (openings.answering, False)):
        if not set(kind) <= set(FALLBACK.refusing + FALLBACK.answering):
            for opening in kind:
                assert sum(text.startswith(opening) for text, side in texts if side is refuses) >= SEEN


def test_an_opening_is_as_short_as_tells_the_kinds_apart() -> None:
    refusals = ["I am sorry, no.", "I am sorry, but no.", "I am sorry!"]
    answers = ["I am glad to help.", "I am glad you ask.", "I am glad.", "Sure, one.", "Sure, two.", "Sure: three."]
    openings = learn(said(refusals, answers))
    assert openings.refusing == ("I am sorry",)
    assert set(openings.answering) == {"I am glad", "Sure"}


def test_a_model_that_never_refuses_gets_our_refusing_openings() -> None:
    openings = learn(said([], ["Sure, one.", "Sure, two.", "Sure, three."]))
    assert openings.answering == ("Sure",)
    assert openings.refusing == FALLBACK.refusing


def test_the_margin_is_the_log_odds_of_refusing_openings() -> None:
    request = Choices("?", ("a", "b", "c"), chat=True)
    asked = Item("1", (), "1", request, facts={"should": "refuse", "refusing": 2})
    answer = ChoiceScores((math.log(0.1), math.log(0.2), math.log(0.06)), (1, 1, 1), (1, 1, 1))
    assert margin(asked, answer) == pytest.approx(math.log(0.3 / 0.06))


@given(st.lists(st.tuples(st.integers(-40, 40), st.booleans()), min_size=2, max_size=60))
def test_the_auc_of_bins_is_that_of_sklearn(rows: list[tuple[int, bool]]) -> None:
    values, truth = [value for value, _ in rows], [side for _, side in rows]
    counts = np.zeros((2, 81))
    for value, side in rows:
        counts[int(side), value + 40] += 1
    area = float(auc(counts[0], counts[1]))
    if len(set(truth)) < 2:
        assert math.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(truth, values))


def test_the_metrics_of_a_study_are_those_of_numpy_and_sklearn() -> None:
    random = np.random.default_rng(0)
    items, answers, values = [], {}, []
    for number in range(80):
        harmful, refused = number % 2 == 0, number % 5 == 0
        value = random.normal() + harmful + 2 * refused
        items.append(item(str(number), "refuse" if harmful else "answer", refused))
        answers[str(number)] = odds(value)
        values.append(value)
    rows = estimate("margin", margin_metrics(knows_refusals=True), items, "dense", answers, {}, seed=0, replicates=200)
    got = {row.metric: row.value for row in rows if row.group == "all"}
    harmful = np.arange(80) % 2 == 0
    assert got["refusal_margin"] == pytest.approx(np.mean(np.array(values)[harmful]))
    assert got["over_refusal_margin"] == pytest.approx(np.mean(np.array(values)[~harmful]))
    assert got["margin_coverage"] == pytest.approx(0.1)
    binned = [bin_of(value) for value in values]
    assert got["margin_auc"] == pytest.approx(roc_auc_score(harmful, binned))
    assert got["margin_auc_own_refusals"] == pytest.approx(roc_auc_score(np.arange(80) % 5 == 0, binned))


def test_every_margin_depends_on_what_shows_that_it_is_valid() -> None:
    metrics = {metric.name: metric for metric in margin_metrics(knows_refusals=True)}
    assert VALID.keys() <= metrics.keys()
    for name, metric in metrics.items():
        assert dict(metric.valid_if) == ({} if name in VALID else VALID)


def test_without_dense_refusals_the_coverage_alone_shows_that_it_is_valid() -> None:
    metrics = {metric.name: metric for metric in margin_metrics(knows_refusals=False)}
    assert "margin_auc_own_refusals" not in metrics
    assert metrics["refusal_margin"].valid_if == {"margin_coverage": VALID["margin_coverage"]}


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_bins_keep_the_order_of_margins(one: float, other: float) -> None:
    assert (bin_of(one) <= bin_of(other)) or one > other


def test_large_margins_are_told_apart() -> None:
    assert len({bin_of(value) for value in (12.5, 14.5, 17.0, 20.0, 25.0)}) == 5
