"""Several draws of an arm: their mean, what items and draws leave open of it, and what a draw alone would say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from crushtest.records import Answer, Item
from crushtest.results import Contrast, Estimate, Flips, Interval
from crushtest.stats import contrast, estimate
from crushtest.stats.draws import TwoSources, middle_flips, narrowing
from crushtest.stats.verdicts import UNCLEAR, clear_alone
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded

ITEMS = make_items([("a=x",)] * 20 + [("a=y",)] * 20)
DENSE = right_or_wrong([True] * 30 + [False] * 10)
METRICS = [replace(ACCURACY, with_gap=True)]


def lost(*rows: int) -> dict[str, Answer]:
    return right_or_wrong([row < 30 and row not in rows for row in range(40)])


def compared(
    *draws: dict[str, Answer], items: list[Item] = ITEMS, dense: dict[str, Answer] = DENSE, metrics: object = METRICS
) -> dict[tuple[str, str], Contrast]:
    first, *others = draws
    rows = contrast(
        "t", metrics, items, "arm", dense, {}, first, {}, seed=0, replicates=400,  # type: ignore[arg-type]
        draws=[((dense, {}), (other, {})) for other in others],
    )  # fmt: skip
    return {(row.metric, row.group): row for row in rows}


def width(row: Contrast | Estimate) -> float:
    if isinstance(row, Estimate):
        assert row.low is not None
        assert row.high is not None
        return row.high - row.low
    assert row.intervals is not None
    return row.intervals.at95.high - row.intervals.at95.low


def test_a_difference_is_the_mean_of_those_of_the_draws():
    draws = [lost(*range(2)), lost(*range(7)), lost(*range(20, 23))]
    together, alone = compared(*draws), [compared(draw) for draw in draws]
    for key in (("accuracy", "all"), ("accuracy", "a=x"), ("accuracy_gap", "a")):
        each = [rows[key].difference for rows in alone]
        assert together[key].difference == pytest.approx(np.mean(each))
        assert together[key].draws.values == pytest.approx(each)
        assert together[key].draws.deviation == pytest.approx(np.std(each, ddof=1))


def test_draws_that_agree_leave_the_row_as_one_draw_makes_it():
    one, three = compared(lost(1, 2, 25)), compared(*[lost(1, 2, 25)] * 3)
    assert one.keys() == three.keys()
    for key, row in three.items():
        assert row.difference == pytest.approx(one[key].difference)
        assert row.verdict == one[key].verdict
        assert (row.p and row.p.value) == pytest.approx(one[key].p and one[key].p.value)
        assert (row.intervals is None) == (one[key].intervals is None)
        if row.intervals:
            assert row.intervals.at95 == pytest.approx(one[key].intervals.at95)
        assert row.flips == one[key].flips


def test_where_items_leave_nothing_open_the_interval_is_t_of_the_draws():
    """Every item moves by the same amount in a draw, so that other items would say the same."""
    items, dense = make_items([()] * 30), numbers([0.0] * 30)
    for moves in ((3.39, 5.41, 3.05), (1.0, 2.0)):
        (row,) = compared(
            *(numbers([move + at * 1e-6 for at in range(30)]) for move in moves),
            items=items, dense=dense, metrics=[number()],
        ).values()  # fmt: skip
        t = scipy_stats.t.interval(0.95, len(moves) - 1, np.mean(moves), scipy_stats.sem(moves))
        assert row.intervals.at95 == pytest.approx(t, abs=1e-3)
        assert row.p.value == pytest.approx(scipy_stats.ttest_1samp(moves, 0).pvalue, rel=1e-3)
        assert row.draws.share == pytest.approx(1, abs=1e-6)


def test_more_draws_that_differ_as_much_leave_less_open():
    rng, dense = seeded(), numbers([0.0] * 40)
    wide = {}
    for count in (2, 3, 10):
        moves = scipy_stats.zscore(np.arange(count), ddof=1)
        noise = rng.normal(size=40)
        draws = [numbers(move + noise) for move in moves]
        wide[count] = width(
            compared(*draws, items=make_items([()] * 40), dense=dense, metrics=[number()])["number", "all"]
        )
    assert wide[2] > wide[3] > wide[10]


def test_what_is_clear_in_one_draw_only_is_not_clear_and_is_called_that():
    row = compared(lost(*range(15)), lost(31), lost(32))["accuracy", "all"]
    assert row.draws.verdicts == ("worse", "no clear difference", "no clear difference")
    assert row.verdict in UNCLEAR
    assert "worse in one draw of 3 only" in row.caution
    assert clear_alone(["worse", "worse", "no clear difference"]).startswith("worse in 2 of 3 draws alone")
    assert clear_alone(["no clear difference"] * 2) == ""


def test_an_item_that_one_draw_has_no_number_for_is_left_out_of_all():
    short = {item: answer for item, answer in lost(1).items() if item != "5"}
    row = compared(lost(1), short, lost(2))["accuracy", "all"]
    assert (row.n, row.n_unscored) == (39, 1)
    assert row.difference == pytest.approx(-1 / 39)


def test_a_draw_without_an_answer_makes_no_zero():
    row = compared(lost(1), {}, lost(2))["accuracy", "all"]
    assert (row.n, row.difference, row.draws) == (0, None, None)


def test_draws_of_one_cluster_have_no_interval():
    items = [replace(item, cluster="all") for item in ITEMS]
    row = compared(lost(1), lost(1, 2), items=items)["accuracy", "all"]
    assert (row.intervals, row.draws.share) == (None, None)
    assert row.draws.count == 2
    assert row.reason


def test_an_estimate_is_the_mean_over_draws_and_knows_of_them():
    draws = [lost(*range(count)) for count in (0, 8, 16)]
    (alone,) = (r for r in estimate("t", METRICS, ITEMS, "arm", draws[1], {}, seed=0) if r.group == "all")
    rows = estimate("t", METRICS, ITEMS, "arm", draws[0], {}, seed=0, draws=[(draw, {}) for draw in draws[1:]])
    row = next(r for r in rows if (r.metric, r.group) == ("accuracy", "all"))
    assert row.value == pytest.approx(alone.value)
    assert row.draws.values == pytest.approx((0.75, 0.55, 0.35))
    assert width(row) > width(alone)
    assert "between 3 draws" in row.method


def test_a_worst_group_is_searched_over_the_means_of_the_draws():
    row = compared(lost(*range(12)), lost(*range(1, 13)), lost(*range(2, 14)))["accuracy_worst", "a"]
    assert row.worst == "a=x"
    assert row.draws.values == pytest.approx((-0.6, -0.6, -0.6))


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=6),
    st.lists(st.floats(-1, 1), min_size=2, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_p_and_interval_of_two_sources_agree(ends: list[int], values: list[float]):
    size = min(len(ends), len(values))
    drawn = np.array(values[:size])
    half = [0.01 + end / 20 for end in ends[:size]]

    def intervals(level: float) -> list[Interval]:
        z = scipy_stats.norm.ppf((1 + level) / 2) / 1.96
        return [Interval(v - h * z, v + h * z) for v, h in zip(drawn, half, strict=True)]

    sources = TwoSources(float(drawn.mean()), drawn, intervals, 1.0)
    low, high = sources.interval(0.95)
    assert low <= sources.estimate <= high
    p = sources.p()
    assert 0 < p <= 1
    if min(abs(low), abs(high)) > 1e-6:
        assert (p <= 0.05) == (low > 0 or high < 0)
    inner = sources.interval(0.9)
    assert low <= inner.low <= inner.high <= high
    assert 0 <= sources.share() <= 1


@given(st.lists(st.lists(st.floats(-5, 5), min_size=6, max_size=6), min_size=2, max_size=5))
def test_a_mean_over_draws_never_varies_more_with_items_than_they_do(each: list[list[float]]):
    share = narrowing([np.array(draw) for draw in each], np.ones(6, np.int64))
    assert 0 <= share <= 1


def test_independent_draws_of_items_narrow_the_interval_of_their_mean():
    rng = seeded(1)
    without = [rng.normal(size=500) for _ in range(4)]
    assert narrowing(without, np.ones(500, np.int64)) == pytest.approx(0.5, abs=0.05)
    assert narrowing([without[0]] * 4, np.ones(500, np.int64)) == pytest.approx(1)


def test_flips_of_several_draws_are_those_of_the_one_in_the_middle():
    draws = [Flips(total=total, up=up, down=total - up) for total, up in ((9, 1), (2, 2), (4, 0))]
    assert middle_flips(draws) == draws[2]
    assert middle_flips(draws[:2]) == draws[0]
    assert middle_flips([Flips()]) == Flips()
