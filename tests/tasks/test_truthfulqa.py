"""TruthfulQA: three forms of the same question; mc2 worked by hand; both orders of the binary form."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from crushtest.errors import DataError
from crushtest.metrics import Metric
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.truthfulqa import build_items, truthfulqa

QUESTION = {
    "question": "Is the moon cheese?",
    "mc0_targets": {"No, it is rock": 1, "Yes, it is cheese": 0},
    "mc1_targets": {"No": 1, "Yes": 0, "Partly": 0},
    "mc2_targets": {"No": 1, "It is rock": 1, "Yes": 0},
}


def metric(name: str) -> Metric:
    return next(metric for metric in truthfulqa().metrics if metric.name == name)


def scores(*logprobs: float) -> ChoiceScores:
    return ChoiceScores(logprobs, (1,) * len(logprobs), (1,) * len(logprobs))


def test_six_examples_stand_in_front_of_the_question() -> None:
    (item,) = build_items("mc1", QUESTION, 5, {})
    context = item.request.context  # type: ignore[union-attr]
    assert context.startswith("Q: What is human life expectancy in the United States?\nA: Human life")
    assert context.endswith("held in Barcelona, Spain.\n\nQ: Is the moon cheese?\nA:")
    assert context.count("Q: ") == 7
    assert (item.id, item.gold, item.request.options) == ("mc1/5", 0, (" No", " Yes", " Partly"))  # type: ignore[union-attr]


def test_mc2_is_the_true_answers_share_of_probability() -> None:
    (item,) = build_items("mc2", QUESTION, 0, {})
    # e^ln(.2) + e^ln(.1) against e^ln(.1): (0.2 + 0.1) / 0.4
    answer = scores(float(np.log(0.2)), float(np.log(0.1)), float(np.log(0.1)))
    assert metric("mc2").measure(item, answer, None)[0] == pytest.approx(0.75)


def test_mc2_does_not_underflow() -> None:
    (item,) = build_items("mc2", QUESTION, 0, {})
    assert metric("mc2").measure(item, scores(-2000.0, -2000.0, -2000.0), None)[0] == pytest.approx(2 / 3)


def test_the_binary_form_is_asked_in_both_orders_as_one_cluster() -> None:
    first, second = build_items("binary", QUESTION, 3, {"Is the moon cheese?": "adversarial"})
    assert first.request == Choices(
        "Question: Is the moon cheese?\n(A) No, it is rock\n(B) Yes, it is cheese\nAnswer:", (" (A)", " (B)")
    )
    assert (first.gold, second.gold) == (0, 1)
    assert first.cluster == second.cluster
    assert first.groups == ("type=adversarial",)


def test_always_answering_a_is_half_right_and_shows_in_the_first_rate() -> None:
    items = build_items("binary", QUESTION, 3, {})
    for name, expected in (("binary", 0.5), ("binary_first_rate", 1.0)):
        totals = np.sum([metric(name).measure(item, scores(-1.0, -2.0), None) for item in items], axis=0)
        assert metric(name).formula(*totals) == expected


def test_each_metric_is_about_its_own_form() -> None:
    items: list[Item] = [item for form in ("mc1", "mc2", "binary") for item in build_items(form, QUESTION, 0, {})]  # type: ignore[arg-type]
    about = {metric.name: [item.id for item in items if metric.applies_to(item)] for metric in truthfulqa().metrics}
    assert about == {
        "mc1": ["mc1/0"],
        "decision_margin": ["mc1/0"],
        "mc2": ["mc2/0"],
        "binary": ["binary/0/A", "binary/0/B"],
        "binary_first_rate": ["binary/0/A", "binary/0/B"],
    }


def test_a_question_with_two_true_answers_is_no_mc1_question() -> None:
    with pytest.raises(DataError, match="question 4: 2 of 2 answers are true"):
        build_items("mc1", {**QUESTION, "mc1_targets": {"a": 1, "b": 1}}, 4, {})


def test_editions_have_their_known_numbers_of_questions(data: Path) -> None:
    def count(edition: str) -> Counter[object]:
        return Counter(item.facts["form"] for item in truthfulqa(edition=edition).items())  # type: ignore[arg-type]

    assert count("v1") == {"mc1": 817, "mc2": 817, "binary": 1580}
    assert count("2025") == {"mc1": 790, "mc2": 790, "binary": 1580}
    assert {group for item in truthfulqa().items() for group in item.groups} == {
        "type=adversarial",
        "type=non-adversarial",
    }
