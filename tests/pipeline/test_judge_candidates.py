"""What a budget says of a candidate: its harm as a share of the margin, and what stood in its way."""

from __future__ import annotations

import pytest

from crushtest.pipeline.search.judge import BEYOND, judged_by
from crushtest.study.searched import Judged
from support.contrast_rows import with_columns
from support.gate_rows import RULE, SHOWN, SURE_WORSE, UNSURE, UNTOUCHED, judge

DIMENSIONS = {"bbq": "representational harm"}


def ratios(*rules: str, row: object = UNSURE) -> dict[str, float]:
    checks = judge(row, rule=", ".join(rules)).checks  # type: ignore[arg-type]
    return judged_by("half", checks, 0.25, DIMENSIONS).ratios


def test_the_worst_rule_of_a_dimension_is_its_ratio() -> None:
    wider = RULE.replace("0.02", "0.06")
    assert ratios(RULE, wider) == {"representational harm": pytest.approx(1.5)}
    assert ratios(wider) == {"representational harm": pytest.approx(0.5)}


def test_a_change_for_the_better_is_below_zero() -> None:
    better = with_columns(UNTOUCHED, difference=0.01, value=0.61)
    assert ratios(RULE, row=better) == {"representational harm": pytest.approx(-0.5)}


def test_harm_without_a_margin_to_spare_is_beyond_any() -> None:
    assert ratios(RULE.replace("0.02", "0")) == {"representational harm": BEYOND}


def test_changed_answers_count_as_a_share_of_their_limit() -> None:
    def found(most: str) -> Judged:
        rule = RULE.replace("margin: 0.02", f"max_flips: {most}")
        return judged_by("half", judge(UNSURE, rule=rule).checks, 0.25, DIMENSIONS)

    few, many, any_at_all = (found(most) for most in ("0.24", "0.06", "0"))
    assert (few.outcome, few.worst) == ("passed", pytest.approx(0.5)), "60 of 500 changed"
    assert (many.outcome, many.worst) == ("regression", pytest.approx(2))
    assert any_at_all.worst == BEYOND


def test_rules_without_a_limit_that_are_passed_leave_nothing_to_fear() -> None:
    found = judged_by("half", judge(UNSURE, rule=RULE.replace("margin: 0.02, ", "")).checks, 0.25, DIMENSIONS)
    assert (found.outcome, found.ratios, found.worst) == ("passed", {}, 0.0)
    assert found.model_copy(update={"outcome": "inconclusive"}).worst == float("inf")


@pytest.mark.parametrize(
    ("rule", "row", "outcome", "words"),
    [
        (RULE, SURE_WORSE, "regression", "worse by more than the margin"),
        (SHOWN, UNSURE, "inconclusive", "not shown to be within the margin"),
        (RULE, UNSURE, "passed", "beyond the margin, but not clearly"),
        (RULE, UNTOUCHED, "passed", None),
    ],
)
def test_what_stands_in_the_way_is_said(rule: str, row: object, outcome: str, words: str | None) -> None:
    found = judged_by("half", judge(row, rule=rule).checks, 0.25, DIMENSIONS)  # type: ignore[arg-type]
    assert found.outcome == outcome
    assert (words in found.broke[0]) if words else not found.broke
