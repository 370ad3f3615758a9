"""What holds for every contrast and every rule of the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.gate.lines import gate_lines
from crushtest.gate.output import explain_lines
from crushtest.gate.policy import Margin, Rule
from crushtest.gate.result import GateResult
from crushtest.gate.rows import check_row
from crushtest.metrics import Metric
from crushtest.results import Contrast
from crushtest.stats.effects import BAD, room_for_harm
from crushtest.study.contrast_table import contrast_row
from support.contrast_rows import with_columns
from support.gate_rows import SURE_WORSE, UNTOUCHED, judge

SEVERITY = {"passed": 0, "inconclusive": 1, "regression": 2}
NUMBERS = st.floats(-1.0, 1.0).map(lambda value: round(value, 6))
MOVED = ("value", "difference", "low", "high", "low90", "high90")
WIDTHS = st.floats(0.0, 1.0).map(lambda value: round(value, 6))


@st.composite
def rules(draw: st.DrawFn, **settings: object) -> Rule:
    """Any rule with a margin, for rows of any number of clusters."""
    free = {
        "margin": Margin(size=draw(WIDTHS), relative=draw(st.booleans())),
        "direction": draw(st.sampled_from([None, "rise", "fall", "move", "from_zero"])),
        "sure": draw(st.sampled_from(["regression", "equivalence"])),
        "max_flips": draw(st.none() | WIDTHS),
        "min_clusters": draw(st.integers(1, 8)),
    }
    return Rule(metric="accuracy", min_items=1, **(free | settings))


@st.composite
def contrasts(draw: st.DrawFn, **settings: object) -> Contrast:
    """Any row that keeps the contract: its interval holds its difference, and its 90% interval lies within."""
    dense, difference = draw(NUMBERS), draw(NUMBERS)
    low, high = difference - draw(WIDTHS), difference + draw(WIDTHS)
    inner = draw(st.floats(0.5, 1.0))
    n = draw(st.integers(1, 200))
    free = {
        "dense": dense,
        "value": dense + difference,
        "difference": difference,
        "low": low,
        "high": high,
        "low90": difference - inner * (difference - low),
        "high90": difference + inner * (high - difference),
        "p": draw(st.none() | st.floats(0.0, 1.0)),
        "n": n,
        "clusters": draw(st.integers(1, n)),
        "flips": draw(st.none() | st.integers(0, n)),
        "better": draw(st.sampled_from(["lower", "higher", "zero", "neither"])),
        "verdict": draw(st.sampled_from(["worse", "no clear difference", "inconclusive"])),
    }
    return with_columns(SURE_WORSE, **(free | settings))


def outcome(rule: Rule, row: Contrast) -> str:
    return GateResult("study", "policy", tuple(check_row(1, rule, row))).outcome


@given(rules(), contrasts(difference=0.0), WIDTHS, WIDTHS)
def test_identical_arms_never_regress(rule: Rule, row: Contrast, below: float, above: float) -> None:
    same = with_columns(row, value=row.dense, low=-below, high=above, low90=-below, high90=above, flips=0)
    assert outcome(rule, same) != "regression"


@given(rules(), contrasts(), WIDTHS, st.floats(0.0, 1.0), st.integers(0, 50))
def test_more_of_the_same_harm_never_softens_a_regression(
    rule: Rule, row: Contrast, more: float, smaller: float, flips: int
) -> None:
    if outcome(rule, row) != "regression":
        return
    step = _bad_direction(rule, row) * more
    moved = {name: contrast_row(row)[name] + step for name in MOVED}
    worse = with_columns(
        row,
        **moved,
        p=None if row.p is None else row.p.value * smaller,
        flips=None if row.flips.total is None else min(row.n, row.flips.total + flips),
    )
    assert outcome(rule, worse) == "regression"


def _bad_direction(rule: Rule, row: Contrast) -> int:
    match rule.direction or {"lower": "rise", "higher": "fall", "zero": "from_zero", "neither": "move"}[row.better]:
        case "rise":
            return 1
        case "fall":
            return -1
        case "move":
            return 1 if row.difference > 0 else -1
        case _:
            return 1 if row.dense + row.difference > 0 else -1


@given(rules(sure="equivalence"), contrasts(), st.sampled_from(["both", "90%"]))
def test_an_interval_of_no_width_never_passes_equivalence(rule: Rule, row: Contrast, which: str) -> None:
    ends = {"low90": row.difference, "high90": row.difference}
    ends |= {"low": row.difference, "high": row.difference} if which == "both" else {}
    assert outcome(rule, with_columns(row, **ends)) != "passed"


@given(rules(), contrasts(verdict="inconclusive"))
def test_an_inconclusive_row_never_passes(rule: Rule, row: Contrast) -> None:
    assert outcome(rule, row) != "passed"


@given(rules(), contrasts())
def test_to_ask_for_proof_is_never_milder(rule: Rule, row: Contrast) -> None:
    asked = {sure: outcome(rule.model_copy(update={"sure": sure}), row) for sure in ("regression", "equivalence")}
    assert SEVERITY[asked["equivalence"]] >= SEVERITY[asked["regression"]]


@given(rules(), contrasts(), WIDTHS)
def test_a_wider_margin_never_turns_a_pass_into_a_regression(rule: Rule, row: Contrast, more: float) -> None:
    wider = rule.model_copy(update={"margin": Margin(size=rule.margin.size + more, relative=rule.margin.relative)})
    if outcome(rule, row) == "passed":
        assert outcome(wider, row) == "passed"


BOUNDED = [(0.0, 1.0), (-1.0, 1.0), (0.0, 100.0)]


@given(
    st.sampled_from(BOUNDED),
    st.sampled_from(list(BAD)),
    st.sampled_from([None, *BAD.values()]),
    st.floats(0, 1),
    st.sampled_from(["regression", "equivalence"]),
)
def test_a_margin_that_no_value_can_break_never_passes(bounds, better, direction, share, sure) -> None:
    """`margin: 5` is a slip for five points, and would pass a total collapse; a bias of 1 is all the bias there is."""
    low, high = bounds
    metric = Metric("score", ("x",), lambda *_: (0.0,), lambda x: x, better, bounds=bounds)
    row = replace(UNTOUCHED, metric="score", dense=low + share * (high - low), better=better)
    most = max(abs(low), abs(high)) if (direction or BAD[better]) == "from_zero" else high - low
    asked = f", direction: {direction}" if direction else ""
    room = room_for_harm(row.dense, bounds, direction or BAD[better])
    for size, outcome in [(most, "inconclusive"), (room, "inconclusive"), (room * 0.99, "passed")]:
        if room < 0.02:  # an interval as wide as that shows nothing within a smaller margin
            continue
        rule = f"{{task: bbq, metric: score, margin: {size}, sure: {sure}{asked}}}"
        [check] = judge(row, rule=rule, tasks={"bbq": {"score": metric}}).checks
        assert check.outcome == outcome
    unbounded = {"bbq": {"score": replace(metric, bounds=None)}}
    assert judge(row, rule=f"{{metric: score, margin: {most}}}", tasks=unbounded).exit_code == 0


@pytest.mark.parametrize(
    ("margin", "dense", "bounds", "warned"),
    [
        ("10", 1.25, None, True),  # a slip for 10%
        ("10%", 1.25, None, False),
        ("1", 1.25, None, False),
        ("0.5", 0.1, None, False),  # no percentage
        ("10", 60.0, (0.0, 100.0), False),  # nothing is wrong: 10 of at most 100
    ],
)
def test_a_margin_larger_than_the_dense_value_is_warned_of(margin, dense, bounds, warned) -> None:
    metric = Metric("score", ("x",), lambda *_: (0.0,), lambda x: x, "lower", bounds=bounds)
    row = replace(UNTOUCHED, metric="score", dense=dense, value=dense, better="lower")
    result = judge(row, rule=f"{{metric: score, margin: {margin}}}", tasks={"bbq": {"score": metric}})
    [check] = result.checks
    assert check.outcome == "passed"
    warning = f"the margin, {margin}, is larger than dense's value, {dense:.4g} (a share: {margin}%)"
    assert (warning in check.seen) == warned
    assert (warning in "".join(gate_lines(result, None))) == warned


def test_an_explanation_gives_the_margin_in_the_metrics_unit() -> None:
    row = replace(UNTOUCHED, dense=0.6)
    assert "; the margin is 0.06" in "".join(explain_lines(judge(row, rule="{metric: accuracy, margin: 10%}")))
