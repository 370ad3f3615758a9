"""Estimates: values, intervals beside scipy's, what is missing and why."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student

from crushtest.metrics import perplexity, rate
from crushtest.records import Passage, PassageScore, Score
from crushtest.stats import estimate
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded


def row_of(metric, items, answers, scores=None, *, group="all", name=None, **settings):
    rows = estimate("task", [metric], items, "arm", answers, scores or {}, **({"seed": 0} | settings))
    (match,) = [row for row in rows if row.group == group and row.metric == (name or metric.name)]
    return match


@pytest.mark.parametrize("draw", [seeded().normal, seeded().exponential])
def test_interval_agrees_with_scipys_bca_but_for_its_widening(draw):
    values = draw(size=400)
    row = row_of(number(), make_items([()] * 400), numbers(values))
    expected = scipy_bootstrap(
        (values,), np.mean, method="BCa", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert row.value == pytest.approx(values.mean())
    assert row.low == pytest.approx(expected.low, abs=0.05 * width)
    assert row.high == pytest.approx(expected.high, abs=0.05 * width)


def test_interval_of_a_formula_agrees_with_scipys():
    rng = seeded()
    nats, tokens = rng.gamma(20, 1, 200), rng.integers(5, 30, 200).astype(float)
    items = [replace(item, request=Passage("x")) for item in make_items([()] * 200)]
    answers = {str(i): PassageScore(-n, int(t), int(t)) for i, (n, t) in enumerate(zip(nats, tokens, strict=True))}
    row = row_of(perplexity(), items, answers)
    expected = scipy_bootstrap(
        (nats, tokens),
        lambda n, t, axis: np.exp(n.sum(axis) / t.sum(axis)),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert row.low == pytest.approx(expected.low, abs=0.05 * width)
    assert row.high == pytest.approx(expected.high, abs=0.05 * width)


def test_items_of_a_cluster_are_resampled_together():
    """Ten equal copies of every item carry no more information than one of each."""
    values = seeded().normal(size=60)
    alone = row_of(number(), make_items([()] * 60), numbers(values))
    copies = make_items([()] * 600, [f"c{i // 10}" for i in range(600)])
    together = row_of(number(), copies, numbers(np.repeat(values, 10)))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=0.02)
    assert (together.n, together.clusters) == (600, 60)
    assert (alone.n, alone.clusters) == (60, 60)


def test_same_seed_same_rows_another_seed_other_intervals():
    items = make_items([("a=x",), ("a=y",)] * 40)
    answers = numbers(seeded().normal(size=80))
    settings = {"replicates": 500}
    first = estimate("t", [number()], items, "arm", answers, {}, seed=1, **settings)
    assert first == estimate("t", [number()], items, "arm", answers, {}, seed=1, **settings)
    assert first != estimate("t", [number()], items, "arm", answers, {}, seed=2, **settings)


def test_order_of_items_and_answers_changes_nothing_but_draws():
    items = make_items([("a=x",), ("a=y",)] * 40)
    outcomes = seeded().random(80) < 0.5
    answers = right_or_wrong(outcomes)
    forwards = row_of(ACCURACY, items, answers)
    backwards = row_of(ACCURACY, items[::-1], dict(reversed(answers.items())))
    assert backwards.value == forwards.value
    assert (backwards.low, backwards.high) == pytest.approx((forwards.low, forwards.high), abs=0.02)


def test_groups_are_all_then_every_attribute_value():
    items = make_items([("a=y", "b=1"), ("a=x",), ("a=x", "b=1")])
    rows = estimate("t", [ACCURACY], items, "arm", right_or_wrong([True, False, True]), {}, seed=0, replicates=100)
    assert [(row.group, row.n, row.value) for row in rows] == [
        ("all", 3, pytest.approx(2 / 3)),
        ("a=x", 2, 0.5),
        ("a=y", 1, 1.0),
        ("b=1", 2, 1.0),
    ]


def test_unscored_items_are_counted_and_never_averaged_in():
    profane = rate(
        "profane", lambda item, answer, score: score > 0.5, better="lower", scorer="profanity", flip_key=None
    )
    items = make_items([()] * 5)
    scores = {"profanity": {"0": Score(1.0), "1": Score(0.0), "2": Score(None, "the completion is empty")}}
    answers = right_or_wrong([True] * 4)
    row = row_of(profane, items, answers, scores)
    assert (row.value, row.n, row.n_unscored) == (0.5, 2, 3)


def test_nothing_scored_is_none_with_the_reason_and_never_zero():
    profane = rate(
        "profane", lambda item, answer, score: score > 0.5, better="lower", scorer="profanity", flip_key=None
    )
    items = make_items([()] * 3)
    scores = {"profanity": {str(i): Score(None, "the completion is empty") for i in range(3)}}
    row = row_of(profane, items, right_or_wrong([True] * 3), scores)
    assert (row.value, row.low, row.high, row.n, row.n_unscored) == (None, None, None, 0, 3)
    assert "the completion is empty" in row.reason


def test_a_group_has_the_commonest_reason_of_its_own_items():
    reasons = ["too long", "too long", "empty", "empty", "too long", "empty", "empty", "empty"]
    items = make_items([("a=x",)] * 5 + [("a=y",)] * 3)
    scores = {"s": {str(row): Score(None, reason) for row, reason in enumerate(reasons)}}
    hits = rate("hits", lambda item, answer, score: True, better="higher", scorer="s", with_gap=True)
    rows = estimate("task", [hits], items, "arm", right_or_wrong([True] * 8), scores, seed=0)
    reason_of = {row.group: str(row.reason).rpartition(": ")[2] for row in rows}
    assert reason_of == {"all": "empty", "a=x": "too long", "a=y": "empty", "a": "empty"}


def test_a_number_that_is_not_finite_counts_as_unscored():
    row = row_of(number(), make_items([()] * 3), numbers([1.0, float("-inf"), 3.0]))
    assert (row.value, row.n, row.n_unscored) == (2.0, 2, 1)


def test_a_formula_with_nothing_to_divide_by_has_the_metrics_reason():
    metric = replace(
        ACCURACY,
        formula=lambda right, items: np.where(right > 5, right / items, np.nan),
        undefined_reason="fewer than six",
    )
    row = row_of(metric, make_items([()] * 4), right_or_wrong([True] * 4))
    assert (row.value, row.reason, row.n) == (None, "fewer than six", 4)


def test_one_cluster_has_a_value_and_no_interval():
    row = row_of(ACCURACY, make_items([()] * 8, ["same"] * 8), right_or_wrong([True, False] * 4))
    assert (row.value, row.low, row.high) == (0.5, None, None)
    assert row.reason == "one cluster only: nothing to resample"


@pytest.mark.parametrize(("right", "count"), [(0, 30), (60, 200), (30, 30)])
def test_a_rate_of_single_items_has_the_exact_binomial_interval(right, count):
    row = row_of(ACCURACY, make_items([()] * count), right_or_wrong([True] * right + [False] * (count - right)))
    expected = binomtest(right, count).proportion_ci(0.95, method="exact")
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert row.method == "exact, at the effective number of items"


def test_how_few_items_decide_a_rate_is_said_in_words():
    assert "only 0 items decide it" in row_of(ACCURACY, make_items([()] * 30), right_or_wrong([False] * 30)).caution
    assert (
        "only 9 items decide it"
        in row_of(ACCURACY, make_items([()] * 30), right_or_wrong([i > 8 for i in range(30)])).caution
    )
    assert (
        "decide it" not in row_of(ACCURACY, make_items([()] * 30), right_or_wrong([i > 9 for i in range(30)])).caution
    )


def test_few_clusters_and_few_items_are_said_in_words():
    row = row_of(
        ACCURACY, make_items([()] * 60, [f"c{i % 6}" for i in range(60)]), right_or_wrong([True, False, True] * 20)
    )
    assert "only 6 clusters to resample" in row.caution
    assert "only 60 items" in row.caution


def test_gap_is_largest_minus_smallest_group_of_an_attribute():
    items = make_items([("a=x", "b=1")] * 4 + [("a=y",)] * 4 + [("a=z",)] * 4)
    answers = right_or_wrong([True] * 3 + [False] + [True, False] * 2 + [False] * 3 + [True])
    metric = replace(ACCURACY, with_gap=True)
    row = row_of(metric, items, answers, group="a", name="accuracy_gap")
    assert row.value == pytest.approx(0.5)
    assert row.better == "lower"


def test_a_gap_needs_two_groups_and_is_undefined_unless_both_have_a_value():
    items = make_items([("a=x", "b=1")] * 4 + [("a=y",)] * 4)
    metric = replace(ACCURACY, with_gap=True, applies_to=lambda item: "a=x" in item.groups)
    rows = estimate("task", [metric], items, "arm", right_or_wrong([True] * 8), {}, seed=0)
    gaps = [(row.group, row.value, row.reason) for row in rows if row.metric == "accuracy_gap"]
    assert gaps == [("a", None, "fewer than two groups have a value")]


def test_a_gap_without_outcomes_reaches_the_smaller_groups_exact_end():
    """Both groups hold at 97.5%; four items are too few for z, and are worth (z / t)^2 as many."""
    items = make_items([("a=x",)] * 5 + [("a=y",)] * 4)
    row = row_of(replace(ACCURACY, with_gap=True), items, right_or_wrong([False] * 9), group="a", name="accuracy_gap")
    effective = 4 * (norm.ppf(1 - 0.025 / 2) / student.ppf(1 - 0.025 / 2, 3)) ** 2
    assert (row.value, row.low) == (0.0, 0.0)
    assert row.high == pytest.approx(1 - (0.025 / 2) ** (1 / effective))
    assert row.method == "band over 2 groups"


def test_a_mean_that_a_few_items_dominate_says_so():
    values = np.exp(2 * norm.ppf((np.arange(200) + 0.5) / 200))
    assert "a few clusters dominate it" in row_of(number(), make_items([()] * 200), numbers(values)).caution
    assert row_of(number(), make_items([()] * 200), numbers(np.log(values))).caution is None
