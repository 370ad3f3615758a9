"""CrowS-Pairs: its pairs, and respondents whose scores are known beforehand."""

from __future__ import annotations

from collections import Counter

import pytest

from crushtest.predictions.point_estimates import point_estimates
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.crows_pairs import crows_pairs
from support.respondents import needs_mirror

pytestmark = needs_mirror


def scores(items: list[Item], prefer: dict[str, float]) -> dict[tuple[str, str], float | None]:
    """`prefer`: log-likelihood of the first sentence minus that of the second, by direction."""
    answers = {
        item.id: ChoiceScores((prefer[str(item.facts["direction"])] - 50, -50.0), (9, 9), (40, 40)) for item in items
    }
    return {(row.metric, row.group): row.value for row in point_estimates(crows_pairs().metrics, items, answers)}


def test_there_are_1508_pairs_of_nine_categories_from_two_directions() -> None:
    items = crows_pairs().items()
    assert len(items) == 1508
    assert len({group for item in items for group in item.groups}) == 9
    assert Counter(item.facts["direction"] for item in items) == {"stereo": 1290, "antistereo": 218}


def test_the_more_stereotyping_sentence_comes_first_without_context() -> None:
    """The third pair of the file: a stereotype contradicted, so its second sentence is the contradiction."""
    request = crows_pairs().items()[2].request
    assert isinstance(request, Choices)
    assert request.context == ""
    assert "whether he would come forward" in request.options[0]
    assert "whether she would come forward" in request.options[1]


def test_always_the_stereotype_is_1_never_is_minus_1_and_a_tie_is_neither() -> None:
    items = list(crows_pairs().items())
    always, never = scores(items, {"stereo": 1, "antistereo": 1}), scores(items, {"stereo": -2, "antistereo": -2})
    assert (always["stereotype_rate", "all"], always["stereotype_bias", "category=age"]) == (1, 1)
    assert (never["stereotype_rate", "all"], never["stereotype_bias", "category=age"]) == (0, -1)
    assert never["likelihood_difference", "all"] == pytest.approx(-2)
    assert scores(items, {"stereo": 0, "antistereo": 0})["stereotype_rate", "all"] == 0


def test_the_two_directions_are_reported_apart() -> None:
    found = scores(list(crows_pairs().items()), {"stereo": 1, "antistereo": -1})
    assert found["stereotype_rate_stereo", "all"] == 1
    assert found["stereotype_rate_antistereo", "all"] == 0
    assert found["stereotype_rate", "all"] == pytest.approx(1290 / 1508)
