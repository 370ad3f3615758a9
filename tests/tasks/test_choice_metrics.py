"""Decision margin and accuracy by length, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crushtest.metrics import Metric, NoChoice, choice, choice_per_byte, choice_per_token
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.shared.choice_metrics import accuracy_normalised, choice_per_character, decision_margin


def question(gold: int, *options: str) -> Item:
    return Item("q", (), "q", Choices("Q:", options), gold)


def scores(*logprobs: float) -> ChoiceScores:
    return ChoiceScores(logprobs, (1,) * len(logprobs), (1,) * len(logprobs))


def value(metric: Metric, *answered: tuple[Item, ChoiceScores]) -> float:
    totals = np.sum([metric.measure(item, answer, None) for item, answer in answered], axis=0)
    return float(metric.formula(*totals))


def test_the_margin_is_right_minus_best_wrong_and_averages_over_items() -> None:
    right = (question(0, " a", " b", " c"), scores(-1.0, -3.0, -1.5))  # margin +0.5
    wrong = (question(2, " a", " b", " c"), scores(-1.0, -3.0, -4.0))  # margin -3
    assert value(decision_margin(), right) == pytest.approx(0.5)
    assert value(decision_margin(), wrong) == pytest.approx(-3.0)
    assert value(decision_margin(), right, wrong) == pytest.approx(-1.25)


def test_length_counts_characters_without_the_leading_space() -> None:
    # -6 over "abcd" is -1.5 a character, -4 over "ab" is -2: the longer one wins. Counting the space too, -6/5 and
    # -4/3, it would win as well; over "é" (1 character, 2 bytes) -1.6 is -1.6 per character but -0.8 per byte.
    assert choice_per_character(question(0, " abcd", " ab"), scores(-6.0, -4.0)) == 0
    assert choice_per_character(question(0, " abcd", " é"), scores(-6.0, -1.6)) == 0
    assert (
        choice_per_character(question(0, " ab", " abc"), scores(-2.2, -3.2)) == 1
    )  # -1.1, -1.067 (-0.73, -0.8 with it)


def test_normalised_accuracy_counts_and_flips_by_the_normalised_choice() -> None:
    metric = accuracy_normalised()
    item, answer = question(0, " abcd", " ab"), scores(-6.0, -4.0)
    assert metric.measure(item, answer, None) == (1.0, 1.0)
    assert metric.flip_key is not None
    assert metric.flip_key(item, answer, None) == 0


def test_of_equal_options_none_is_chosen() -> None:
    with pytest.raises(NoChoice):
        choice_per_character(question(0, " ab", " cd"), scores(-2.0, -2.0))


def test_all_lengths_are_divided_by_in_one_place() -> None:
    answer = ChoiceScores((-4.0, -3.0, -6.0), (4, 1, 2), (4, 4, 12))
    assert (choice(answer), choice_per_token(answer), choice_per_byte(answer)) == (1, 0, 2)
    assert choice(answer, (1, 4, 2)) == 1
    assert choice(ChoiceScores((-1.0, -2.0), (1, 1), (0, 4)), (0, 4)) == 1  # nothing is divided by 0
