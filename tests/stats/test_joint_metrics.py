"""Metrics of items measured together, of a grid of cells, and of some groups only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from crushtest.metrics import Array, Metric, mean, ratio
from crushtest.records import Choices, ChoiceScores, Item, Score
from crushtest.stats.contrasts import contrast
from crushtest.stats.estimates import estimate


def item(name: str, subject: str, attribute: str, **facts: object) -> Item:
    return Item(
        name, (f"subject={subject}",), attribute, Choices("", ("a", "b")), None, {"cell": (subject, attribute)} | facts
    )


def says(number: float) -> ChoiceScores:
    return ChoiceScores((number, 0.0), (1, 1), (1, 1))


def worst_per_subject(total: Array, items: Array) -> Array:
    """Mean over subjects of the largest cell mean of each."""
    worst: Array = np.fmax.reduce(ratio(total, items), axis=-1).mean(axis=-1)
    return worst


GRID = Metric(
    "grid",
    ("total", "items"),
    lambda item, answer, score: (answer.logprobs[0], 1.0),
    worst_per_subject,
    "lower",
    flip_key=None,
    cell_of=lambda item: item.facts["cell"],  # type: ignore[return-value]
    groups=lambda group: group == "all",
)


def test_a_grid_has_an_axis_for_each_part_of_a_cells_name() -> None:
    """Worked by hand: x has cell means 2 and 5, y has 3 and no second cell."""
    items = [item("1", "x", "p"), item("2", "x", "p"), item("3", "x", "q"), item("4", "y", "q")]
    answers = {"1": says(1), "2": says(3), "3": says(5), "4": says(3)}
    (row,) = estimate("task", [GRID], items, "arm", answers, {}, seed=0, replicates=200)
    assert (row.group, row.value, row.n) == ("all", 4.0, 4)
    same = estimate("task", [GRID], items[::-1], "arm", answers, {}, seed=0, replicates=200)[0]
    assert same.value == row.value


def test_a_metric_has_no_rows_for_groups_that_it_is_not_reported_for() -> None:
    items = [item(str(number), "xy"[number % 2], str(number)) for number in range(8)]
    answers = {item.id: says(float(number)) for number, item in enumerate(items)}
    rows = contrast("task", [GRID], items, "arm", answers, {}, answers, {}, seed=0, replicates=200)
    assert {row.group for row in rows} == {"all"}
    assert rows[0].difference == 0


JOINT = Metric(
    "joint",
    ("difference", "items"),
    lambda item, answers, score: (answers[0].logprobs[0] - answers[1].logprobs[0], 1.0),
    ratio,
    "zero",
    applies_to=lambda item: item.facts["first"] is True,
    flip_key=lambda item, answers, score: answers[0].logprobs[0] > answers[1].logprobs[0],
    partner_ids=lambda item: (str(item.facts["partner"]),),
)


def test_a_missing_partner_leaves_items_measured_together_unscored() -> None:
    items = [
        item("a1", "x", "p", first=True, partner="a2"),
        item("a2", "x", "p", first=False, partner="a1"),
        item("b1", "x", "q", first=True, partner="b2"),
        item("b2", "x", "q", first=False, partner="b1"),
    ]
    answers = {"a1": says(5), "a2": says(2), "b1": says(1)}
    row = estimate("task", [JOINT], items, "arm", answers, {}, seed=0, replicates=200)[0]
    assert (row.value, row.n, row.n_unscored) == (3.0, 1, 1)
    row = estimate("task", [JOINT], items[2:], "arm", answers, {}, seed=0, replicates=200)[0]
    assert row.value is None
    assert "measured together" in str(row.reason)


def test_a_flip_of_items_measured_together_changes_their_joint_state() -> None:
    items = [item("a1", "x", "p", first=True, partner="a2"), item("a2", "x", "p", first=False, partner="a1")]
    dense, arm = {"a1": says(5), "a2": says(2)}, {"a1": says(1), "a2": says(2)}
    row = contrast("task", [JOINT], items, "arm", dense, {}, arm, {}, seed=0, replicates=200)[0]
    assert (row.dense, row.value, row.flips.total) == (3.0, -1.0, 1)


TOGETHER = Metric(
    "largest",
    ("total", "prompts"),
    lambda item, answers, scores: (max(scores), 1.0),
    ratio,
    "lower",
    scorer="first",
    flip_key=None,
    applies_to=lambda item: item.id == "a",
    partner_ids=lambda item: ("b", "c"),
)
SCORED = [item(name, "s", "t") for name in "abc"]
ANSWERED = {each.id: says(0.0) for each in SCORED}


def test_a_metric_of_partners_is_given_all_their_scores() -> None:
    scores = {"first": dict(zip("abc", (Score(0.1), Score(0.7), Score(0.3)), strict=True))}
    [row, *_] = estimate("t", [TOGETHER], SCORED, "dense", ANSWERED, scores, seed=0, replicates=10)
    assert (row.value, row.n, row.n_unscored) == (0.7, 1, 0)


def test_a_partner_without_a_score_leaves_the_item_unscored_for_its_reason() -> None:
    scores = {"first": dict(zip("abc", (Score(0.1), Score(None, "empty completion"), Score(0.3)), strict=True))}
    [row, *_] = estimate("t", [TOGETHER], SCORED, "dense", ANSWERED, scores, seed=0, replicates=10)
    assert (row.value, row.n, row.n_unscored) == (None, 0, 1)
    assert row.reason is not None
    assert "empty completion" in row.reason


def test_a_metric_beside_other_scorers_is_given_their_numbers_in_order() -> None:
    differ = Metric(
        "difference",
        ("total", "items"),
        lambda item, answer, scores: (scores[0] - scores[1], 1.0),
        ratio,
        "zero",
        scorer="first",
        extra_scorers=("second",),
        flip_key=None,
    )
    first = dict(zip("abc", (Score(0.5), Score(0.75), Score(0.3)), strict=True))
    second = dict(zip("abc", (Score(0.25), Score(0.25), Score(None, "too long")), strict=True))
    scores = {"first": first, "second": second}
    [row, *_] = estimate("t", [differ], SCORED, "dense", ANSWERED, scores, seed=0, replicates=10)
    assert (row.value, row.n, row.n_unscored) == (0.375, 2, 1)


MEAN = mean("mean", lambda item, answer, score: answer.logprobs[0], better="lower")


def many(seed: int, shift: float = 0.0) -> dict[str, ChoiceScores]:
    numbers = np.random.default_rng(seed).normal(shift, 1.0, 60)
    return {str(place): says(number) for place, number in enumerate(numbers.tolist())}


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    """Against scipy; n / (n - 1) because the expanded percentile interval is a little wider than Student's."""
    items, answers = [item(str(place), "x", str(place)) for place in range(60)], many(0)
    jackknife = replace(MEAN, interval="jackknife")
    row = estimate("task", [MEAN, jackknife], items, "arm", answers, {}, seed=0, replicates=200)[2]
    values = [answer.logprobs[0] for answer in answers.values()]
    error = stats.sem(values) * np.sqrt(60 / 59)
    low, high = stats.t.interval(0.95, 59, loc=np.mean(values), scale=error)
    assert row.method == "jackknife over items"
    assert (row.low, row.high) == pytest.approx((low, high), rel=1e-3)


def test_the_jackknife_p_of_a_difference_is_the_paired_t_tests() -> None:
    items, dense, arm = [item(str(place), "x", str(place)) for place in range(60)], many(0), many(1, 0.4)
    jackknife = replace(MEAN, interval="jackknife")
    (row,) = contrast("task", [jackknife], items, "arm", dense, {}, arm, {}, seed=0, replicates=200)[:1]
    before, after = ([answers[item.id].logprobs[0] for item in items] for answers in (dense, arm))
    assert row.p.value == pytest.approx(stats.ttest_rel(after, before).pvalue, rel=0.1)
    assert row.p.method == "jackknife over clusters"
    (same,) = contrast("task", [jackknife], items, "arm", dense, {}, dense, {}, seed=0, replicates=200)[:1]
    assert (same.difference, same.p, same.verdict) == (0.0, None, "inconclusive")


def test_other_metrics_do_not_change_beside_one_with_a_jackknife() -> None:
    items, answers = [item(str(place), "x", str(place)) for place in range(60)], many(0)
    grid = replace(GRID, interval="jackknife")
    alone = estimate("task", [MEAN], items, "arm", answers, {}, seed=0, replicates=200)
    beside = estimate("task", [grid, MEAN], items, "arm", answers, {}, seed=0, replicates=200)
    means = [row for row in beside if row.metric == "mean"]
    for measured, wanted in zip(means, alone, strict=True):
        assert (measured.value, measured.low, measured.high) == pytest.approx(
            (wanted.value, wanted.low, wanted.high), abs=1e-12
        )
