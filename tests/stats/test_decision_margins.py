"""Decision margins and KL divergence of option probabilities, against scipy and by hand."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from crushtest.metrics import mean
from crushtest.records import ChoiceScores, Completion
from crushtest.stats import contrast
from crushtest.stats.decision_margins import mean_change, option_changes
from support.building import ACCURACY, make_items, right_or_wrong, seeded


def answers(logprobs):
    return {str(i): ChoiceScores(tuple(row), (1,) * len(row), (1,) * len(row)) for i, row in enumerate(logprobs)}


def test_kl_is_scipys_over_probabilities_that_sum_to_one():
    rng = seeded()
    dense, arm = rng.normal(size=(50, 4)) - 20, rng.normal(size=(50, 4)) - 30
    changes = option_changes(make_items([()] * 50), answers(dense), answers(arm))
    assert changes[:, 2] == pytest.approx(entropy(softmax(dense, axis=1), softmax(arm, axis=1), axis=1))


def test_margin_is_the_lead_of_denses_choice_and_below_zero_at_a_flip():
    changes = option_changes(make_items([()]), answers([[-1.0, -3.0, -2.5]]), answers([[-4.0, -2.0, -5.0]]))
    assert changes[0, :2] == pytest.approx([1.5, -2.0])


def test_items_with_other_numbers_of_options_are_measured_together():
    changes = option_changes(
        make_items([()] * 2), answers([[0.0, -1.0], [0.0, -1.0, -2.0]]), answers([[0.0, -2.0], [0.0] * 3])
    )
    assert changes[:, :2] == pytest.approx(np.array([[1.0, 2.0], [1.0, 0.0]]))


def test_answers_without_options_or_finite_numbers_have_no_margin():
    items = make_items([()] * 2)
    texts = {"0": Completion("a", 1, "eos"), "1": Completion("b", 1, "eos")}
    assert option_changes(items, texts, texts) is None
    broken = option_changes(items, answers([[0.0, -1.0], [0.0, -np.inf]]), answers([[0.0, -1.0], [0.0, -1.0]]))
    assert np.isnan(broken[1]).all()
    change = mean_change(broken, np.arange(2))
    assert (change.margin_dense, change.margin, change.kl) == pytest.approx((1.0, 1.0, 0.0))
    assert mean_change(broken, np.array([1])) is None


def test_where_dense_ties_no_option_is_taken_for_its_choice():
    items, dense = make_items([()] * 2), answers([[-1.0, -1.0, -9.0], [-1.0, -2.0, -9.0]])
    changes = option_changes(items, dense, answers([[-5.0, -1.0, -9.0], [-1.0, -1.0, -9.0]]))
    assert np.isnan(changes[0]).all()
    assert changes[1, :2] == pytest.approx([1.0, 0.0])


def test_contrasts_carry_them_for_every_group():
    items = make_items([("a=x",), ("a=y",)] * 10)
    rows = contrast(
        "t", [ACCURACY], items, "arm", right_or_wrong([True] * 20), {}, right_or_wrong([False] * 20), {}, seed=0
    )
    for row in rows[:3]:
        assert (row.options.margin_dense, row.options.margin) == (1.0, -1.0)
        assert row.options.kl == pytest.approx(entropy(softmax([1, 0]), softmax([0, 1])))


def test_metrics_that_count_no_decisions_have_none_of_them():
    length = mean("length", lambda item, answer, score: -answer.logprobs[0], better="lower")
    given = right_or_wrong([True, False] * 10)
    (row, *_) = contrast("t", [length], make_items([()] * 20), "arm", given, {}, given, {}, seed=0)
    assert row.options is None
