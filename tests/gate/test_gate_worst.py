"""`group: worst`: it fails on the worst group, and leaves out, counts and names what the suite cannot tell."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from crushtest.gate.lines import judged
from crushtest.gate.output import as_json, as_junit
from crushtest.gate.result import GateResult
from crushtest.gate.worst import MOST_NAMED
from crushtest.metrics import accuracy
from crushtest.results import Contrast
from support.contrast_rows import with_columns
from support.gate_rows import UNTOUCHED, judge


def groups(*ends: tuple[float, float], worst: tuple[float, float] | None) -> list[Contrast]:
    rows = [
        with_columns(UNTOUCHED, group=f"Age={i}", difference=(a + b) / 2, low=a, high=b, low90=a, high90=b)
        for i, (a, b) in enumerate(ends)
    ]
    if worst:
        low, high = worst
        searched = with_columns(UNTOUCHED, metric="accuracy_worst", group="Age", worst="Age=0", low=low, high=high)
        rows.append(with_columns(searched, difference=(low + high) / 2, low90=low, high90=high))
    return rows


WORST = "{task: bbq, metric: accuracy, group: worst, margin: 0.02, min_items: 300}"


def test_worst_group_fails_by_the_interval_that_paid_for_the_search():
    alone, searched = (-0.2, -0.03), (-0.25, 0.02)
    assert judge(*groups(alone, (-0.01, 0.01), worst=searched), rule=WORST).exit_code == 0
    assert judge(*groups(alone, (-0.01, 0.01), worst=(-0.25, -0.03)), rule=WORST).exit_code == 3


def test_worst_group_without_a_search_is_judged_by_its_own_interval():
    assert judge(*groups((-0.2, -0.03), worst=None), rule=WORST).exit_code == 3


def test_every_group_that_can_be_told_must_be_shown():
    good = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    shown = WORST.replace("}", ", sure: equivalence}")
    assert judge(*good, rule=shown).exit_code == 0
    wide = groups((-0.01, 0.01), (-0.05, 0.01), worst=(-0.015, 0.015))
    assert judge(*wide, rule=shown).exit_code == 4
    assert judge(UNTOUCHED, rule=WORST).exit_code == 4


SHOWN = WORST.replace("}", ", sure: equivalence}")
FLAT = {"verdict": "inconclusive", "reason": "every resample gave the same value: items not seen may differ"}
NO_ENDS = {"low": None, "high": None, "low90": None, "high90": None}


def small(number: int, **changes: object) -> Contrast:
    """A group of one template."""
    reason = "cannot be tested with 1 clusters"
    row = replace(UNTOUCHED, group=f"Age={number}", clusters=1, n=4, verdict="inconclusive", reason=reason)
    return replace(row, **changes)


def left_out(result: GateResult) -> list[str]:
    return [check.seen for check in result.checks if check.outcome == "left out"]


@pytest.mark.parametrize("rule", [WORST, SHOWN])
def test_groups_too_small_to_judge_are_counted_and_named_on_one_line(rule):
    big = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    result = judge(*big, *[small(number) for number in range(10, 20)], rule=rule)
    assert result.exit_code == 0
    [line] = left_out(result)
    assert line == (
        "bbq accuracy: the suite cannot judge 10 of 12 groups: 10 with fewer than 300 items "
        "(Age=10, Age=11, Age=12, Age=13, Age=14, Age=15, Age=16, Age=17 and 2 more)"
    )
    [names] = [check["left_out"] for check in as_json(result)["checks"] if check["left_out"]]
    assert len(names) == 10


def test_leaving_out_groups_of_few_clusters_hides_no_regression():
    bad = groups((-0.2, -0.03), (-0.01, 0.01), worst=(-0.25, -0.03))
    few = small(7, n=400, clusters=5)
    assert judge(*bad, few, rule=WORST).exit_code == 3
    assert "1 with fewer than 6 clusters (Age=7)" in left_out(judge(*bad, few, rule=WORST))[0]


def test_a_metric_whose_groups_are_all_too_small_is_inconclusive():
    result = judge(small(1), small(2), rule=WORST)
    assert (result.exit_code, [check.outcome for check in result.checks]) == (4, ["inconclusive"])


def test_what_an_arm_failed_to_answer_excuses_no_group():
    good = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    for broken in (
        replace(good[0], group="Age=9", n=100, n_unscored=300),
        replace(good[0], group="Age=9", clusters=4, n=300, n_unscored=100),
        with_columns(good[0], group="Age=9", value=None, difference=None, verdict="undefined", **NO_ENDS),
    ):
        result = judge(*good, broken, rule=WORST)
        assert (result.exit_code, left_out(result)) == (4, [])


def test_a_group_without_interval_is_left_out_only_within_the_margin():
    good = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    alike = with_columns(good[0], group="Age=9", **NO_ENDS, **FLAT)
    assert judge(*good, alike, rule=WORST).exit_code == 0
    assert judge(*good, replace(alike, difference=-0.5, value=0.1), rule=WORST).exit_code == 4
    assert judge(*good, alike, rule=SHOWN).exit_code == 4


def test_a_search_that_names_a_group_too_small_does_not_hide_another():
    bad = groups((-0.01, 0.01), (-0.2, -0.03), worst=(-0.9, 0.3))
    bad[0] = replace(bad[0], n=4, clusters=1)
    result = judge(*bad, rule=WORST)
    assert [(check.outcome, check.row and check.row.group) for check in result.checks] == [
        ("regression", "Age=1"),
        ("left out", None),
    ]


def test_a_rule_that_only_asks_for_items_leaves_out_no_group():
    good = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    rule = "{task: bbq, metric: accuracy, group: worst, min_items: 300}"
    assert judge(*good, rule=rule).exit_code == 0
    assert judge(*good, small(3), rule=rule).exit_code == 4


def test_a_group_without_room_to_get_worse_is_left_out_and_named():
    rows = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    rows[1] = with_columns(rows[1], dense=0.01, value=0.01)
    bounded = {"bbq": {"accuracy": accuracy()}}
    result = judge(*rows, rule=WORST, tasks=bounded)
    assert result.exit_code == 0
    [line] = left_out(result)
    assert "1 of 2 groups" in line
    assert "no room" in line
    assert "Age=1" in line
    cramped = [with_columns(row, dense=0.01, value=0.01) for row in rows]
    assert judge(*cramped, rule=WORST, tasks=bounded).exit_code == 4


def test_outputs_show_what_was_left_out_as_skipped_and_never_as_passed():
    good = groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))
    result = judge(*good, small(3), rule=WORST)
    assert [each.check.outcome for each in judged(result)] == ["passed"]
    suite = ElementTree.fromstring(as_junit(result))
    assert (suite.get("tests"), suite.get("skipped")) == ("2", "1")
    assert sorted([child.tag for child in case] for case in suite) == [[], ["skipped"]]


@pytest.mark.parametrize("more", [0, 1])
def test_as_many_groups_as_fit_are_named_and_the_others_counted(more):
    rows = [*groups((-0.01, 0.01), (-0.01, 0.01), worst=(-0.015, 0.015))]
    rows += [small(number) for number in range(10, 10 + MOST_NAMED + more)]
    (line,) = [check for check in judge(*rows, rule=WORST).checks if check.outcome == "left out"]
    assert line.seen.count("Age=") == MOST_NAMED
    assert (" and 1 more" in line.seen) == bool(more)
    assert (" more" in line.seen) == bool(more)
