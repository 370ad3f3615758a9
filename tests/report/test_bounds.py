"""A difference is never shown to go further than it can, and a bound is one that the data set."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.report.bounds import interval_text, less_than, no_bound, room_text
from crushtest.report.shading import verdict_text
from support.contrast_rows import make_contrast, with_columns

HELD = make_contrast(
    arm="a", task="t", metric="m", group="all", dense=0.5, value=0.51, difference=0.01, low=-0.03, high=0.05, p=0.6,
    n=100, n_unscored=0, flips=10, flips_up=6, flips_down=4, better="higher", verdict="no clear difference",
    low90=-0.021, high90=0.0334,
)  # fmt: skip


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"[+-]?[\d.]+(?:e[+-]\d+)?", text.replace("−", "-"))]


@given(st.floats(-3, 3), st.floats(-3, 3), st.sampled_from(["lower", "higher", "neither", "zero"]))
def test_no_interval_of_a_rate_goes_beyond_what_a_rate_can_move(one: float, other: float, better: str) -> None:
    low, high = min(one, other), max(one, other)
    text = interval_text(with_columns(HELD, low=low, high=high, better=better), "rate")  # type: ignore[arg-type]
    assert all(abs(number) <= (200 if better == "zero" else 100) for number in numbers(text))


def test_the_interval_of_a_worst_group_is_cut_at_100_points() -> None:
    assert interval_text(with_columns(HELD, low=-1.166, high=1.082), "rate") == "−100.0 to +100.0"


def test_an_interval_that_rounds_to_nothing_keeps_a_digit() -> None:
    assert interval_text(with_columns(HELD, low=-0.00012, high=0.0003), "score") == "−1e-04 to +3e-04"


def test_an_interval_without_width_never_stands_bare() -> None:
    assert "proves nothing" in interval_text(with_columns(HELD, low=0.0, high=0.0), "score")
    assert interval_text(with_columns(HELD, low=None, high=None), "score") == ""


@pytest.mark.parametrize(
    ("low90", "high90", "unit", "text"),
    [
        (-0.021, 0.0334, "rate", "less than 3.4 points"),
        (-0.0331, 0.021, "rate", "less than 3.4 points"),  # rounded up: a bound is not undercut
        (0.001, 0.0161, "bits", "less than 0.017 bits"),
        (-0.001, 0.345, "perplexity", "less than 0.35"),
        (-0.39, 0.61, "rate", ""),  # no rate can move further than from 0.5 to an end
        (0.0, 0.0, "score", ""),
        (None, None, "rate", ""),
    ],
)
def test_the_bound_is_the_larger_end_of_the_90_percent_interval(
    low90: float | None, high90: float | None, unit: str, text: str
) -> None:
    assert less_than(with_columns(HELD, low90=low90, high90=high90), unit) == text


@pytest.mark.parametrize(
    ("dense", "better", "text"),
    [
        (0.03, "higher", "no clear difference; at 3.0% in dense, at most 3.0 points could be lost"),
        (1 / 16, "higher", "no clear difference; at 6.2% in dense, at most 6.2 points could be lost"),
        (0.0, "higher", "no clear difference; at 0.0% in dense, nothing could be lost"),
        (0.97, "lower", "no clear difference; at 97.0% in dense, at most 3.0 points could be added"),
        (0.03, "lower", "less than 7.6 points"),
        (0.97, "higher", "less than 7.6 points"),
        (0.08, "higher", "less than 7.6 points"),
        (0.03, "zero", "less than 7.6 points"),
    ],
)
def test_no_bound_reassures_where_dense_leaves_less_room_for_harm(dense: float, better: str, text: str) -> None:
    row = with_columns(HELD, dense=dense, better=better, difference=-0.03, low=-0.085, high=0.01, low90=-0.076)
    assert verdict_text(with_columns(row, high90=0.005), "rate") == text


@given(st.floats(0, 1), st.sampled_from(["lower", "higher", "zero", "neither"]), st.floats(0, 1))
def test_a_rate_has_a_bound_or_its_lack_of_room_but_not_both(dense: float, better: str, bound: float) -> None:
    row = with_columns(HELD, dense=dense, better=better, low90=-bound, high90=bound)
    assert not (less_than(row, "rate") and no_bound(row, "rate"))
    assert room_text(row, "score", bound) == ""


@given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_a_bound_holds_both_ends(one: float, other: float) -> None:
    text = less_than(with_columns(HELD, low90=min(one, other), high90=max(one, other)), "score")
    assert text == "" if one == other else numbers(text)[0] >= max(abs(one), abs(other)) - 1e-9
