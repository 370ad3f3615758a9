from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from crushtest.metrics import accuracy, mean, perplexity, rate, reported_names
from crushtest.records import Answer, Completion, Item, Prompt, Score
from crushtest.results import Estimate
from crushtest.stats import contrast, estimate, noise_bands
from support.building import make_items, right_or_wrong

HARM = rate("harm_rate", lambda item, answer, score: score >= 0.5, better="lower", scorer="s", with_rest=True)
LEVEL = mean("level", lambda item, answer, score: score, better="neither", scorer="s", with_rest=True)
ITEMS = [
    Item("0", ("race=Black", "race=Asian", "gender=woman"), "a", Prompt("p")),
    Item("1", ("race=Asian",), "b", Prompt("p")),
    Item("2", ("race=white", "gender=man"), "c", Prompt("p")),
    Item("3", (), "d", Prompt("p")),
    Item("4", ("race=white", "kind=only"), "e", Prompt("p")),
]


def against_rest(rows: Iterable[Any]) -> list[Any]:
    return [row for row in rows if row.metric.endswith("_against_rest")]


ANSWERS: dict[str, Answer] = {item.id: Completion("t", 1, "eos") for item in ITEMS}


def scores(*numbers: float | None) -> dict[str, dict[str, Score]]:
    given = [Score(None, "empty completion") if number is None else Score(number) for number in numbers]
    return {"s": dict(zip(ANSWERS, given, strict=True))}


def rows(*numbers: float | None) -> dict[tuple[str, str], Estimate]:
    rows = estimate("t", (HARM, LEVEL), ITEMS, "dense", ANSWERS, scores(*numbers), seed=0, replicates=50)
    return {(row.metric, row.group): row for row in against_rest(rows)}


def test_each_group_is_its_value_minus_that_of_the_others_of_its_attribute() -> None:
    results = rows(0.9, 0.1, 0.1, 0.9, 0.7)
    expected = {
        ("harm_rate_against_rest", "race=Black"): 1 - 1 / 3,
        ("harm_rate_against_rest", "race=Asian"): 1 / 2 - 1 / 2,
        ("harm_rate_against_rest", "race=white"): 1 / 2 - 1 / 2,
        ("harm_rate_against_rest", "gender=woman"): 1.0,
        ("level_against_rest", "race=Black"): 0.9 - 0.3,
        ("level_against_rest", "gender=man"): 0.1 - 0.9,
    }
    assert {key: results[key].value for key in expected} == pytest.approx(expected)
    assert results["harm_rate_against_rest", "race=Black"].n == 4, "items without the attribute do not count"
    assert not [group for _, group in results if group.startswith("kind=")], "a group alone has no rest"


def test_of_two_groups_it_is_the_gap_with_a_sign() -> None:
    with_gap = replace(HARM, with_gap=True)
    numbers = scores(0.9, 0.1, 0.1, 0.9, 0.7)
    plain = estimate("t", [with_gap], ITEMS, "dense", ANSWERS, numbers, seed=0, replicates=50)
    gap = next(row.value for row in plain if (row.metric, row.group) == ("harm_rate_gap", "gender"))
    results = rows(0.9, 0.1, 0.1, 0.9, 0.7)
    assert gap == results["harm_rate_against_rest", "gender=woman"].value
    assert gap == -(results["harm_rate_against_rest", "gender=man"].value or 0)


def test_a_group_without_a_number_is_undefined_and_says_why() -> None:
    row = rows(None, 0.1, 0.1, 0.9, 0.7)["harm_rate_against_rest", "race=Black"]
    assert row.value is None
    assert row.reason is not None
    assert "no item with a number" in row.reason
    assert (row.n, row.n_unscored) == (3, 1)


def test_nearer_to_zero_is_better_where_a_direction_is() -> None:
    results = rows(0.9, 0.1, 0.1, 0.9, 0.7)
    assert results["harm_rate_against_rest", "race=Black"].better == "zero"
    assert results["level_against_rest", "race=Black"].better == "neither"


def test_an_arm_is_contrasted_with_dense_on_the_same_items() -> None:
    rows = contrast(
        "t",
        (HARM,),
        ITEMS,
        "arm",
        ANSWERS,
        scores(0.9, 0.1, 0.1, 0.9, 0.7),
        ANSWERS,
        scores(0.1, 0.1, 0.1, 0.9, 0.7),
        seed=0,
        replicates=50,
    )
    compared = against_rest(rows)
    black = next(row for row in compared if row.group == "race=Black")
    assert (black.dense, black.value) == pytest.approx((2 / 3, -1 / 3))
    assert {row.metric for row in compared} == {"harm_rate_against_rest"}
    assert not [row for row in compared if "\n" in row.metric + row.group]


def test_controls_are_reported_and_compared_with_nobody() -> None:
    named = ("control=nonce", "control=null", "axis=age", "axis=body")
    items = [replace(item, groups=(group,)) for item, group in zip(ITEMS, named, strict=False)]
    both = (ANSWERS, scores(0.9, 0.1, 0.1, 0.9, 0.7), ANSWERS, scores(0.1, 0.9, 0.9, 0.1, 0.7))
    settings = {"seed": 0, "replicates": 50}
    metrics = (replace(HARM, with_gap=True),)
    estimates = [*estimate("t", metrics, items, "dense", *both[:2], **settings)]
    contrasts = [*contrast("t", metrics, items, "arm", *both, **settings)]
    rows = {(row.metric, row.group) for row in [*estimates, *contrasts]}
    assert {metric for metric, group in rows if group.startswith("control")} == {"harm_rate"}
    assert {("harm_rate_gap", "axis"), ("harm_rate_worst", "axis"), ("harm_rate_against_rest", "axis=age")} <= rows


def test_metrics_that_do_not_ask_for_it_have_none() -> None:
    assert against_rest(estimate("t", (perplexity(),), ITEMS, "dense", {}, {}, seed=0)) == []


def test_its_noise_is_that_of_the_difference() -> None:
    """One of the two Asians, harmless before, is harmful in the repeat; the rest of that attribute stays at a half."""
    dense = (ANSWERS, scores(0.9, 0.1, 0.1, 0.9, 0.7))
    again = (ANSWERS, scores(0.9, 0.9, 0.1, 0.9, 0.7))
    bands = noise_bands("t", (HARM,), ITEMS, dense, [again])
    half_widths = {(band.metric, band.group): band.half_width for band in bands}
    assert half_widths["harm_rate_against_rest", "race=Asian"] == pytest.approx(0.5)
    assert half_widths["harm_rate_against_rest", "race=Black"] == pytest.approx(1 / 3)
    assert half_widths["harm_rate_against_rest", "gender=man"] == 0.0


def test_the_rows_of_a_metric_have_the_names_that_are_announced() -> None:
    items = make_items([(f"Age={number % 3}",) for number in range(12)])
    metric = accuracy(with_gap=True, with_rest=True)
    both = (right_or_wrong([True] * 12), {}, right_or_wrong([False, True] * 6), {})
    rows = contrast("toy", [metric], items, "half", *both, seed=0, replicates=50)
    assert {row.metric for row in rows} == set(reported_names(metric))
