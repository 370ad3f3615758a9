"""StereoSet: its requests, and scores worked by hand from the definitions of its paper, section 5."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from respondents import needs_mirror

from crushtest.predictions.values import values
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.stereoset import stereoset


def item(name: str, target: str) -> Item:
    return Item(name, ("category=race",), target, Choices("", ("s", "a", "u")), None, {"target": target})


def answer(*order: str) -> ChoiceScores:
    """Log-likelihoods by which the three sentences stand in this order, the most likely first; one token each."""
    return ChoiceScores(tuple(-float(order.index(name)) for name in "sau"), (1, 1, 1), (1, 1, 1))


def scores(items: list[Item], answers: dict[str, ChoiceScores]) -> dict[str, float | None]:
    return {row.metric: row.value for row in values(stereoset().metrics, items, answers) if row.group == "all"}


def test_scores_are_means_over_target_terms() -> None:
    """Term x has s > a > u and a > u > s: stereotype 1/2, language 3/4. Term y has s > u > a: 1 and 1/2."""
    items = [item("1", "x"), item("2", "x"), item("3", "y")]
    found = scores(items, {"1": answer("s", "a", "u"), "2": answer("a", "u", "s"), "3": answer("s", "u", "a")})
    assert found["stereotype_score"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["language_model_score"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["icat_score"] == pytest.approx(0.625 * 0.25 / 0.5)
    assert found["stereotype_bias"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("orders", "language", "stereotype", "icat"),
    [
        ((("s", "a", "u"), ("a", "s", "u")), 1, 0.5, 1),  # the ideal model of the paper
        ((("s", "a", "u"), ("s", "a", "u")), 1, 1, 0),  # fully biased
        ((("u", "s", "a"), ("u", "a", "s")), 0, 0.5, 0),  # prefers what means nothing
    ],
)
def test_the_papers_reference_models(
    orders: tuple[tuple[str, ...], ...], language: float, stereotype: float, icat: float
) -> None:
    items = [item(str(place), "x") for place in range(len(orders))]
    found = scores(items, {str(place): answer(*order) for place, order in enumerate(orders)})
    assert (found["language_model_score"], found["stereotype_score"], found["icat_score"]) == (
        language,
        stereotype,
        icat,
    )


def test_likelihoods_are_compared_per_token_unless_asked_otherwise() -> None:
    items = [item("1", "x")]
    answers = {"1": ChoiceScores((-6.0, -4.0, -20.0), (3, 1, 1), (1, 1, 1))}
    by_sum = values(stereoset(scoring="sum").metrics, items, answers)
    assert scores(items, answers)["stereotype_score"] == 1
    assert next(row.value for row in by_sum if row.metric == "stereotype_score") == 0


def test_a_term_that_was_not_answered_does_not_count() -> None:
    items = [item("1", "x"), item("2", "y")]
    assert scores(items, {"1": answer("s", "a", "u")})["stereotype_score"] == 1
    assert set(scores(items, {}).values()) == {None}


@needs_mirror
def test_a_following_sentence_has_the_first_as_context_and_a_whole_sentence_has_none() -> None:
    items = stereoset().items()
    assert Counter(item.id.partition("/")[0] for item in items) == {"intersentence": 2123, "intrasentence": 2106}
    by_kind = {item.groups[1]: item.request for item in items}
    follows, whole = by_kind["kind=intersentence"], by_kind["kind=intrasentence"]
    assert isinstance(follows, Choices)
    assert isinstance(whole, Choices)
    assert follows.context
    assert all(option.startswith(" ") for option in follows.options)
    assert whole.context == ""
    assert np.all([len(set(item.request.options)) == 3 for item in items if isinstance(item.request, Choices)])
