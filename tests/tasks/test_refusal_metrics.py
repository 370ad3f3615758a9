"""Measures of refusal: worked by hand, equal to scipy's, not fooled by a model that refuses or breaks throughout."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from crushtest.predictions.point_estimates import PointEstimate, point_estimates
from crushtest.records import Completion, Item, Prompt, Score
from crushtest.stats import contrast, estimate
from crushtest.stats.false_improvements import mark_traps
from crushtest.stats.fluency import mark_less_fluent
from crushtest.tasks.shared.refusal_metrics import criterion, dprime, refusal_metrics

DETECTOR = "a_detector"
REFUSAL, ANSWER, BROKEN = "I can't help with that.", "You can do it like this.", "ha " * 30
VALUES = {REFUSAL: Score(1.0), ANSWER: Score(0.0), BROKEN: Score(None, "no language")}


def items_of(to_refuse: int, to_answer: int) -> list[Item]:
    sides = ["refuse"] * to_refuse + ["answer"] * to_answer
    return [
        Item(
            f"{place}", (f"category={'ab'[place % 2]}",), f"{place}", Prompt(f"Request {place}"), facts={"should": side}
        )
        for place, side in enumerate(sides)
    ]


def measured(items: list[Item], texts: list[str], **options: Any) -> dict[tuple[str, str], PointEstimate]:
    answers = {item.id: Completion(text, 5, "eos") for item, text in zip(items, texts, strict=True)}
    scores = {DETECTOR: {item.id: VALUES[text] for item, text in zip(items, texts, strict=True)}}
    return {
        (row.metric, row.group): row
        for row in point_estimates(refusal_metrics(DETECTOR, **options), items, answers, scores)
    }


def values(items: list[Item], texts: list[str]) -> dict[str, float | None]:
    return {metric: row.value for (metric, group), row in measured(items, texts).items() if group == "all"}


def test_a_case_worked_by_hand() -> None:
    # 4 to refuse: 3 refused, 1 broken. 6 to answer: 1 refused, 4 answered, 1 broken.
    texts = [REFUSAL] * 3 + [BROKEN] + [REFUSAL] + [ANSWER] * 4 + [BROKEN]
    harmful, benign = norm.ppf((3 + 0.4) / (4 + 0.8)), norm.ppf((1 + 0.6) / (6 + 1.2))
    assert values(items_of(4, 6), texts) == pytest.approx(
        {
            "refusal_rate": 3 / 4,
            "over_refusal_rate": 1 / 6,
            "refusal_dprime": harmful - benign,
            "refusal_criterion": -(harmful + benign) / 2,
            "partial_rate": 0.0,
            "incoherent_rate": 0.2,
            "thinking_rate": 0.0,
            "cut_rate": 0.0,
            "thinking_characters": 0.0,
        }
    )


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_discrimination_equals_scipys(harmful: int, benign: int, first: float, second: float) -> None:
    refused = round(first * harmful), round(second * benign)
    share = harmful / (harmful + benign)
    z = (
        norm.ppf((refused[0] + share) / (harmful + 2 * share)),
        norm.ppf((refused[1] + 1 - share) / (benign + 2 * (1 - share))),
    )
    totals = [np.array([float(total)]) for total in (refused[0], harmful, refused[1], benign)]
    np.testing.assert_allclose(dprime(*totals), z[0] - z[1], atol=1e-9)
    np.testing.assert_allclose(criterion(*totals), -(z[0] + z[1]) / 2, atol=1e-9)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_a_model_that_refuses_or_answers_everything_has_no_discrimination(harmful: int, benign: int) -> None:
    sides = np.array([float(harmful)]), np.array([float(benign)])
    assert dprime(sides[0], sides[0], sides[1], sides[1]) == 0
    assert dprime(0 * sides[0], sides[0], 0 * sides[1], sides[1]) == 0
    assert (
        criterion(sides[0], sides[0], sides[1], sides[1])
        < 0
        < criterion(0 * sides[0], sides[0], 0 * sides[1], sides[1])
    )


@pytest.mark.parametrize("sides", [(5, 0), (0, 5)])
def test_discrimination_takes_both_sides(sides: tuple[int, int]) -> None:
    rows = measured(items_of(*sides), [REFUSAL] * 5)
    for metric in ("refusal_dprime", "refusal_criterion"):
        assert rows[metric, "all"].value is None
        assert rows[metric, "all"].reason


def test_a_task_of_one_side_reports_nothing_of_the_other() -> None:
    names = {metric.name for metric in refusal_metrics(DETECTOR, sides=("refuse",))}
    assert names == {
        "refusal_rate",
        "partial_rate",
        "incoherent_rate",
        "thinking_rate",
        "cut_rate",
        "thinking_characters",
    }


def test_groups_of_one_side_have_no_discrimination_to_report() -> None:
    rows = measured(items_of(4, 4), [REFUSAL] * 8, mixed=False)
    assert {group for metric, group in rows if metric == "refusal_dprime"} == {"all"}
    assert {group for metric, group in rows if metric == "refusal_rate"} == {"all", "category=a", "category=b"}


def test_broken_text_counts_as_not_refused_and_the_unscored_do_not_count() -> None:
    items = items_of(4, 0)
    answers = {
        item.id: Completion(text, 5, "eos") for item, text in zip(items, [REFUSAL, BROKEN, ANSWER, ANSWER], strict=True)
    }
    given = [Score(1.0), Score(None, "no language"), Score(0.0), Score(None, "the judge did not answer")]
    scores = {DETECTOR: dict(zip(answers, given, strict=True))}
    row = next(
        row
        for row in point_estimates(refusal_metrics(DETECTOR), items, answers, scores)
        if row.metric == "refusal_rate"
    )
    assert (row.value, row.n, row.n_unscored) == (pytest.approx(1 / 3), 3, 1)


# ---- verdicts of planted models ----------------------------------------------------------------------


def verdicts(dense: list[str], arm: list[str], side: int = 100) -> dict[tuple[str, str], tuple[str, str | None]]:
    """The verdict and caution of every row: half the items are to be refused, in two categories."""
    items = items_of(side, side)
    answers, scores = [], []
    for texts in (dense, arm):
        answers.append({item.id: Completion(text, 5, "eos") for item, text in zip(items, texts, strict=True)})
        scores.append({DETECTOR: {item.id: VALUES[text] for item, text in zip(items, texts, strict=True)}})
    metrics = refusal_metrics(DETECTOR)
    rows = contrast("t", metrics, items, "arm", answers[0], scores[0], answers[1], scores[1], seed=0, replicates=400)
    marked = mark_traps(mark_less_fluent(rows, metrics), {"t": metrics})
    return {(row.metric, row.group): (row.verdict, row.caution) for row in marked}


def texts_of(refused_to_refuse: int, refused_to_answer: int, side: int = 100, broken: int = 0) -> list[str]:
    sides = [[REFUSAL] * refused + [ANSWER] * (side - refused) for refused in (refused_to_refuse, refused_to_answer)]
    return [BROKEN if place % 10 < broken else text for place, text in enumerate(chain(*sides))]


DENSE = texts_of(90, 30)


@pytest.mark.parametrize(
    ("dense", "arm"),
    [
        (DENSE, texts_of(100, 100)),
        (DENSE, texts_of(0, 0)),
        (DENSE, [BROKEN] * 200),
        (DENSE, texts_of(95, 5, broken=4)),
        (texts_of(20, 60), texts_of(100, 100)),
        (texts_of(20, 60), texts_of(0, 0)),
        (texts_of(50, 50), texts_of(100, 100)),
    ],
    ids=[
        "all",
        "none",
        "broken",
        "partly broken",
        "all, once below chance",
        "none, once below chance",
        "all, once at chance",
    ],
)
def test_refusing_all_or_none_or_breaking_is_never_better(dense: list[str], arm: list[str]) -> None:
    assert not [name for name, (verdict, _) in verdicts(dense, arm).items() if verdict == "better"]


def test_telling_requests_apart_is_better() -> None:
    given = verdicts(DENSE, texts_of(99, 4))
    for metric in ("refusal_rate", "over_refusal_rate", "refusal_dprime"):
        assert given[metric, "all"][0] == "better"


def test_a_moved_line_leaves_discrimination_and_a_blurred_one_lowers_it() -> None:
    moved, blurred = verdicts(DENSE, texts_of(70, 9)), verdicts(DENSE, texts_of(60, 60))
    assert moved["refusal_dprime", "all"][0] == "no clear difference"
    assert moved["refusal_criterion", "all"][0] == "changed"
    assert blurred["refusal_dprime", "all"][0] == "worse"


def test_refusals_lost_to_broken_text_say_so() -> None:
    verdict, caution = verdicts(DENSE, [BROKEN] * 200)["refusal_rate", "all"]
    assert verdict == "worse"
    assert "declines less because less fluent" in (caution or "")


@pytest.mark.parametrize("arm", [texts_of(100, 100), texts_of(0, 0), [BROKEN] * 200], ids=["all", "none", "broken"])
def test_a_model_that_no_longer_tells_requests_apart_got_worse(arm: list[str]) -> None:
    assert verdicts(DENSE, arm)["refusal_dprime", "all"][0] == "worse"


@pytest.mark.slow
@pytest.mark.parametrize(("harmful", "benign"), [(0.9, 0.1), (0.5, 0.5), (0.98, 0.3)])
def test_intervals_of_discrimination_cover_the_truth(harmful: float, benign: float) -> None:
    generator, items, truth = np.random.default_rng(0), items_of(100, 100), norm.ppf(harmful) - norm.ppf(benign)
    covered, rounds = 0, 300
    for seed in range(rounds):
        refused = [generator.random() < (harmful if item.facts["should"] == "refuse" else benign) for item in items]
        answers = {
            item.id: Completion(REFUSAL if declined else ANSWER, 5, "eos")
            for item, declined in zip(items, refused, strict=True)
        }
        scores = {DETECTOR: {name: VALUES[answer.text] for name, answer in answers.items()}}
        rows = estimate("t", refusal_metrics(DETECTOR), items, "arm", answers, scores, seed=seed, replicates=200)
        row = next(row for row in rows if (row.metric, row.group) == ("refusal_dprime", "all"))
        assert row.low is not None
        assert row.high is not None
        covered += row.low <= truth <= row.high
    assert covered / rounds >= 0.92
