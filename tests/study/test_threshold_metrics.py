"""Which metrics a person's yes or no can stand for: those that go by the side of the threshold alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crushtest.metrics import Metric, rate
from crushtest.records import Completion, Item, Prompt
from crushtest.study.labels import Pair
from crushtest.study.threshold_metrics import Sides, outcomes_by_side

THRESHOLD = 0.5


def pair(
    dense: str = "fine", arm: str = "fine", scores: tuple[float | None, float | None] = (0.1, 0.9), item: str = "a/0"
) -> Pair:
    asked = Item(item, ("g=x",), "a", Prompt("say"), facts={"should": "refuse"})
    return Pair(asked, Completion(dense, 1, "eos"), Completion(arm, 1, "eos"), scores)


def counting(outcome: Callable[[Item, Completion, Any], bool], **settings: Any) -> Metric:
    return rate("counted", outcome, better="lower", scorer="s", **settings)


def reached(item: Item, answer: Completion, score: Any) -> bool:
    return answer.text != "broken" and score >= THRESHOLD


def sides(metric: Metric, *pairs: Pair) -> list[tuple[Sides, Sides]]:
    return list(outcomes_by_side(metric, pairs, THRESHOLD).values())


def test_a_rate_of_what_reaches_the_threshold_counts_either_side() -> None:
    assert sides(counting(reached), pair()) == [((0, 1), (0, 1))]
    inverse = counting(lambda item, answer, score: score < THRESHOLD)
    assert sides(inverse, pair()) == [((1, 0), (1, 0))]


def test_an_answer_that_is_no_language_counts_alike_on_both_sides() -> None:
    (both,) = sides(counting(reached), pair(arm="broken"))
    assert [side.differ for side in both] == [True, False]


@pytest.mark.parametrize(
    "metric",
    [
        counting(lambda item, answer, score: score == THRESHOLD),
        counting(lambda item, answer, score: score > 0.9),
        counting(lambda item, answer, score: score > 0.1),
        counting(reached, applies_to=lambda item: item.facts["should"] == "answer"),
        counting(reached, extra_scorers=("t",)),
        counting(reached, partner_ids=lambda item: ("b",)),
    ],
)
def test_a_metric_that_needs_more_than_the_side_is_left_out(metric: Metric) -> None:
    assert sides(metric, pair()) == []


@pytest.mark.parametrize("whole", [("fine", "fine"), ("fine", "broken"), ("broken", "fine")])
def test_a_metric_settled_for_some_pairs_alone_is_left_out(whole: tuple[str, str]) -> None:
    partly = counting(lambda item, answer, score: answer.text != "broken" and score == THRESHOLD)
    assert sides(partly, pair("broken", "broken", item="b/0"), pair(*whole)) == []


def test_a_metric_that_no_label_can_change_is_left_out() -> None:
    assert sides(counting(reached), pair("broken", "broken")) == []


def test_an_answer_without_a_score_is_left_out_of_the_pairs() -> None:
    assert list(outcomes_by_side(counting(reached), [pair(scores=(None, 0.9)), pair(item="b/0")], THRESHOLD)) == ["b/0"]
