"""Where next to nothing or nearly everything happens: no interval misses its difference, and none is too sure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scipy.stats import norm

from crushtest.gate.checks import check_all
from crushtest.gate.policy import parse_policy
from crushtest.gate.result import GateResult
from crushtest.metrics import rate
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.results import Contrast
from crushtest.stats import contrast
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong

WRONG = rate("wrong", lambda item, answer, score: answer.logprobs[0] < answer.logprobs[1], better="lower")
Z2 = norm.ppf(0.975) ** 2


def clusters(count: int, size: int, groups: Sequence[tuple[str, ...]] | None = None) -> list[Item]:
    return make_items(groups or [()] * (count * size), [f"c{i // size}" for i in range(count * size)])


def rows_of(metrics, items, dense, arm) -> list[Contrast]:
    return contrast("task", metrics, items, "arm", dense, {}, arm, {}, seed=0, replicates=2000)


def gate(rows: Sequence[Contrast], rule: str) -> int:
    policy = parse_policy(f"rules: [{rule}]", where="test")
    return GateResult("study", "test", tuple(check_all(policy, ["arm"], rows, {}, {}))).exit_code


@pytest.mark.parametrize(("count", "low"), [(6, 0.22), (60, 0.88)])
@pytest.mark.parametrize("size", [1, 4])
def test_a_rate_of_which_every_item_flips_is_worse(count, size, low):
    items = clusters(count, size)
    right, wrong = right_or_wrong([True] * len(items)), right_or_wrong([False] * len(items))
    harmed = rows_of([WRONG], items, right, wrong)[0]
    assert (harmed.difference, harmed.flips.total, harmed.verdict) == (1.0, len(items), "worse")
    assert harmed.intervals.at95 == (pytest.approx((count - Z2) / (count + Z2)), 1.0)
    assert harmed.intervals.at95.low == pytest.approx(low, abs=0.005)
    assert harmed.p.value == pytest.approx(2 / 2**count)
    fallen = rows_of([ACCURACY], items, right, wrong)[0]
    assert fallen.intervals.at95 == (-1.0, pytest.approx(-harmed.intervals.at95.low))
    assert fallen.verdict == "worse"
    for rows in ([harmed], [fallen]):
        for sure in ("regression", "equivalence"):
            assert gate(rows, f"{{task: task, metric: '*', margin: 0.1, min_items: 6, sure: {sure}}}") == 3


def test_a_worst_group_of_which_every_item_flips_is_worse():
    items = clusters(12, 4, [(f"a={i // 24}",) for i in range(48)])
    right, wrong = right_or_wrong([True] * 48), right_or_wrong([False] * 48)
    (worst,) = [row for row in rows_of([ACCURACY], items, right, wrong) if row.metric == "accuracy_worst"]
    assert (worst.difference, worst.intervals.at95.low, worst.verdict) == (-1.0, -1.0, "worse")
    assert worst.intervals.at95.high < 0
    assert worst.p.value < 0.05


def questions(templates: int, size: int) -> list[Item]:
    """Questions in BBQ's form; by turns ambiguous, and disambiguated with and against the stereotype."""
    made = []
    for i in range(templates * size):
        condition = "ambiguous" if i % 3 == 0 else "disambiguated"
        gold = 2 if i % 3 == 0 else i % 3 - 1
        truth = None if i % 3 == 0 else ("with", "against")[gold]
        facts = {"condition": condition, "biased": 0, "unknown": 2, "truth": truth}
        made.append(Item(str(i), ("attribute=age",), f"c{i // size}", Choices("?", ("a", "b", "unknown")), gold, facts))
    return made


def saying(options: Sequence[int]) -> dict[str, ChoiceScores]:
    return {
        str(i): ChoiceScores(tuple(float(option == other) for other in range(3)), (1, 1, 1), (1, 1, 1))
        for i, option in enumerate(options)
    }


@pytest.mark.parametrize("templates", [6, 30])
def test_an_arm_that_says_unknown_everywhere_is_worse_where_that_is_wrong(templates):
    items = questions(templates, 12)
    able = saying([item.gold if item.facts["condition"] == "disambiguated" else i % 2 for i, item in enumerate(items)])
    rows = rows_of(bbq_metrics(), items, able, saying([2] * len(items)))
    by_name = {row.metric: row for row in rows if row.group == "all"}
    assert by_name["unknown_rate_disambiguated"].verdict == "worse"
    assert by_name["accuracy_disambiguated"].verdict == "worse"
    unknown = by_name["unknown_rate_disambiguated"]
    assert (unknown.difference, unknown.intervals.at95.high) == (1.0, 1.0)
    assert by_name["accuracy_ambiguous"].verdict == by_name["unknown_rate_ambiguous"].verdict == "better"
    for name in ("bias_ambiguous", "bias_disambiguated"):
        assert by_name[name].verdict == "undefined"
        assert gate(rows, f"{{task: task, metric: {name}, margin: 0.9, min_items: 6}}") == 4
    for sure in ("regression", "equivalence"):
        rule = (
            f"{{task: task, metric: unknown_rate_disambiguated, group: all, margin: 0.1, min_items: 6, sure: {sure}}}"
        )
        assert gate(rows, rule) == 3


def test_a_bias_whose_resamples_are_all_alike_has_an_interval_with_a_width():
    """Six templates, each with one biased and one other answer: every resample gives 0."""
    items = questions(6, 6)
    half = saying([i // 3 % 2 for i in range(36)])
    swapped = saying([1 - i // 3 % 2 for i in range(36)])
    for arm in (half, swapped):
        for row in rows_of(bbq_metrics(), items, half, arm):
            if row.metric in ("bias_ambiguous", "bias_disambiguated", "accuracy_cost_of_bias"):
                assert row.difference == 0
                assert row.intervals.at95.low < 0 < row.intervals.at95.high
                assert row.intervals.at90.low < 0 < row.intervals.at90.high
    rule = "{task: task, metric: 'bias_*', group: all, margin: 0.02, direction: move, min_items: 6, sure: equivalence}"
    assert gate(rows_of(bbq_metrics(), items, half, swapped), rule) == 4


def test_a_row_without_width_passes_no_equivalence():
    items = make_items([()] * 40)
    rows = rows_of([number()], items, numbers([1.0] * 40), numbers([1.0] * 40))
    assert (rows[0].intervals, rows[0].verdict) == (None, "inconclusive")
    assert gate(rows, "{task: task, metric: number, margin: 0.001, min_items: 6, sure: equivalence}") == 4


@pytest.mark.parametrize(("count", "metric"), [(5, ACCURACY), (5, number()), (2, ACCURACY), (3, number())])
def test_fewer_than_six_clusters_cannot_be_tested(count, metric):
    items = clusters(count, 4)
    dense = right_or_wrong([True] * 4 * count)
    arm = right_or_wrong([i % 4 == 0 for i in range(4 * count)])
    row = rows_of([metric], items, dense, arm)[0]
    assert row.reason == f"cannot be tested with {count} clusters"
    assert (row.verdict, row.mde) == ("inconclusive", None)
    assert row.intervals.at95.low <= row.difference <= row.intervals.at95.high
    assert gate([row], "{task: task, metric: '*', margin: 0.01, min_items: 1, min_clusters: 1}") == 4


def test_one_cluster_says_so():
    row = rows_of([ACCURACY], clusters(1, 8), right_or_wrong([True] * 8), right_or_wrong([False] * 8))[0]
    assert (row.intervals, row.mde, row.verdict) == (None, None, "inconclusive")
    assert row.reason == "cannot be tested with 1 cluster"


def test_six_clusters_can_be_tested():
    row = rows_of([ACCURACY], clusters(6, 1), right_or_wrong([True] * 6), right_or_wrong([False] * 6))[0]
    assert (row.reason, row.verdict) == (None, "worse")


@pytest.mark.parametrize("better", ["higher", "lower", "neither"])
@pytest.mark.parametrize(("right", "count", "shown"), [(0, 6, True), (3, 6, False), (6, 12, False), (5, 12, True)])
def test_no_detectable_difference_is_beyond_what_the_rate_can_move(better, right, count, shown):
    """Of 12 items, 0.58 must flip for six to do so four times in five; from 6 of 12 a rate can move by 0.5."""
    metric = rate("right", lambda item, answer, score: answer.logprobs[0] > answer.logprobs[1], better=better)
    answers = right_or_wrong([i < right for i in range(count)])
    row = rows_of([metric], make_items([()] * count), answers, answers)[0]
    assert (row.mde is not None) == shown
    assert row.mde is None or row.mde <= 1 - row.dense
