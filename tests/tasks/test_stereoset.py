"""StereoSet: its requests, and scores worked by hand from the definitions of its paper, section 5."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from crushtest import load_engine
from crushtest.errors import UsageError
from crushtest.predictions.point_estimates import point_estimates
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.stereoset import stereoset
from support.respondents import needs_mirror
from support.tiny_models import SENTENCES, loaded


def item(name: str, target: str) -> Item:
    return Item(name, ("category=race",), target, Choices("", ("s", "a", "u")), None, {"target": target})


def answer(*order: str) -> ChoiceScores:
    """Log-likelihoods by which the three sentences stand in this order, the most likely first; one token each."""
    return ChoiceScores(tuple(-float(order.index(name)) for name in "sau"), (1, 1, 1), (1, 1, 1))


def scores(items: list[Item], answers: dict[str, ChoiceScores]) -> dict[str, float | None]:
    return {row.metric: row.value for row in point_estimates(stereoset().metrics, items, answers) if row.group == "all"}


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
    by_sum = point_estimates(stereoset(scoring="sum").metrics, items, answers)
    assert scores(items, answers)["stereotype_score"] == 1
    assert next(row.value for row in by_sum if row.metric == "stereotype_score") == 0


def test_a_term_that_was_not_answered_does_not_count() -> None:
    items = [item("1", "x"), item("2", "y")]
    assert scores(items, {"1": answer("s", "a", "u")})["stereotype_score"] == 1
    assert set(scores(items, {}).values()) == {None}


@needs_mirror
def test_the_authors_protocol_asks_for_the_first_token_apart() -> None:
    """In evaluate_intrasentence the start token predicts the first token and is no part of the sentence."""
    joint = stereoset(kinds=("intrasentence",)).items()
    authors = stereoset(kinds=("intrasentence",), protocol="authors").items()
    assert len(authors) == 2106
    assert [item.request for item in authors] == [
        replace(item.request, protocol="first_apart") for item in joint if isinstance(item.request, Choices)
    ]


def test_the_authors_score_is_the_mean_over_tokens_of_two_forward_passes() -> None:
    """By hand: log p(first | start), then log p(token | the sentence's tokens before it), over the number of tokens."""
    engine = load_engine(loaded("gpt2"))
    network, tokenizer = engine.model.loaded.network, engine.model.loaded.tokenizer
    texts = (SENTENCES[0], SENTENCES[1], SENTENCES[2])
    by_hand = []
    for text in texts:
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            start, sentence = (network(torch.tensor([ids])).logits[0].double().softmax(-1) for ids in ([0], own))
        chances = [start[0, own[0]], *(sentence[place, token] for place, token in enumerate(own[1:]))]
        by_hand.append(math.fsum(math.log(chance) for chance in chances) / len(own))
    ((_, answer),) = engine.choices([Choices("", texts, protocol="first_apart")])
    found = [logprob / count for logprob, count in zip(answer.logprobs, answer.tokens, strict=True)]
    assert found == pytest.approx(by_hand, abs=1e-5)
    asked = Item("1", ("category=race",), "x", Choices("", texts, protocol="first_apart"), None, {"target": "x"})
    assert scores([asked], {"1": answer})["stereotype_score"] == float(by_hand[0] > by_hand[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"protocol 'authors' needs kinds \[intrasentence\]"),
        ({"kinds": ("intrasentence",), "scoring": "sum"}, "protocol 'authors' needs scoring 'token'"),
    ],
)
def test_what_the_authors_do_not_score_that_way_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stereoset(protocol="authors", **options)


def test_only_the_authors_protocol_is_said_to_be_the_authors() -> None:
    page = " ".join((stereoset.__doc__ or "").split())
    assert "as the paper does" not in page
    assert "`joint` is not the authors' protocol" in page
    assert "`evaluate_intrasentence` of the authors' code" in page


@needs_mirror
def test_only_a_following_sentence_has_a_context() -> None:
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


def test_no_score_leaves_the_bounds_that_it_declares() -> None:
    for metric, stereotyping, related in product(stereoset().metrics, (0.0, 4.0), (0.0, 4.0)):
        assert metric.bounds is not None
        value = metric.formula(np.array([stereotyping]), np.array([related]), np.array([4.0]))
        assert metric.bounds[0] <= value <= metric.bounds[1], metric.name
