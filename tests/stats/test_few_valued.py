"""Intervals of answers that take few values, against Agresti's intervals and a case worked by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from crushtest.metrics import ratio
from crushtest.stats import contrast, estimate
from crushtest.stats.few_valued import MOST_VALUES, FewValued, extremes, possible_values, unseen_influences
from crushtest.stats.uncertainty import ALL_ALIKE, FEW_CHANGED
from support.building import make_items, number, numbers, seeded

TWO_SE = float(2 * reference.norm.cdf(2) - 1)
"""The level at which z is 2: four observations are added."""


def half_width(squares: list[float], unseen_square: float, added: float, level: float) -> float:
    """Student's t standard errors, by hand: squared influences inflated, and t by the kurtosis that they leave."""
    clusters = len(squares)
    inflated = [square * (1 + 2 / sqrt(clusters)) for square in squares]
    total = sum(inflated) + added * unseen_square
    fourth = sum(square**2 for square in inflated) + added * unseen_square**2
    kurtosis = (clusters + added) * fourth / total**2
    known = 1 + 2 * (clusters + added) / (kurtosis - 1) if kurtosis > 1 else float("inf")
    t = float(reference.t.ppf((1 + level) / 2, min(clusters, known) - 1))
    return t * sqrt(total) / (clusters + added)


@pytest.mark.parametrize("width", [1, 2, 64, 65, 145, 200])
@given(st.data())
def test_few_values_are_the_distinct_rows_however_many_sums_an_item_has(width: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=2, max_size=2), min_size=1))
    arm = np.ones((len(rows), width))
    ends = [0, width - 1]
    arm[:, ends] = rows
    values = possible_values([arm, arm[:1]])
    assert values is not None
    assert values.tolist() == np.unique(arm, axis=0).tolist()


@pytest.mark.parametrize(("ones", "count"), [(0, 20), (5, 20), (50, 100), (100, 100)])
def test_one_arm_is_centred_on_agresti_and_coulls_proportion(ones, count):
    values = np.repeat([1.0, 0.0], [ones, count - ones])
    share = values.mean()
    low, high = FewValued(share, values - share, np.array([[-share, 1 - share]]), count).interval(TWO_SE)
    centre = (ones + 2) / (count + 4)
    assert (low + high) / 2 == pytest.approx(centre)
    assert low <= share <= high
    assert (high - low) / 2 >= 2 * sqrt(centre * (1 - centre) / (count + 4))


@pytest.mark.parametrize(("up", "down", "count"), [(0, 0, 30), (6, 6, 50), (3, 12, 80)])
def test_a_pair_is_never_narrower_than_agresti_and_mins(up, down, count):
    dense = np.repeat([0.0, 1.0, 1.0], [up, down, count - up - down])
    arm = np.repeat([1.0, 0.0, 1.0], [up, down, count - up - down])
    low, high = FewValued(
        float((arm - dense).mean()),
        (arm - dense) - (arm - dense).mean(),
        np.array([[dense.mean(), dense.mean() - 1], [-arm.mean(), 1 - arm.mean()]]),
        count,
    ).interval(TWO_SE)
    more_up, more_down, total = up + 0.5, down + 0.5, count + 2
    variance = (more_up + more_down - (more_up - more_down) ** 2 / total) / total**2
    assert low <= (up - down) / count <= high
    assert (high - low) / 2 >= 2 * sqrt(variance)


def test_a_pair_of_three_valued_answers_worked_by_hand():
    """Values 0, 1, 2; 10 clusters; changes 2, 1, 0 x 8: d = 0.3, and the squares around it are 1.7^2, 0.7^2, 8 x 0.3^2.

    An unseen cluster moves dense's mean of 1 by -1, 0, 1 (mean 0, variance 2/3), and the arm's of 1.3 by -1.3, -0.3,
    0.7 (mean -0.3, variance 2/3). With z^2 of them the centre is 0.3 - 0.3 w / (10 + w).
    """
    dense = [0.0, 0.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    arm = [2.0, 1.0, *dense[2:]]
    (row,) = contrast("t", [number()], make_items([()] * 10), "a", numbers(dense), {}, numbers(arm), {}, seed=0)
    added = reference.norm.ppf(0.975) ** 2
    centre = 0.3 - 0.3 * added / (10 + added)
    half = half_width([1.7**2, 0.7**2, *[0.3**2] * 8], 4 / 3 + 0.09, added, 0.95)
    assert row.intervals.method == "jackknife over clusters, unseen ones added"
    assert row.intervals.at95 == pytest.approx((centre - half, centre + half))


def test_the_mean_of_two_valued_answers_of_one_arm_worked_by_hand():
    """3 of 8: squares 3 x (5/8)^2, 5 x (3/8)^2. An unseen cluster moves the mean by 1/8 on average, variance 1/4."""
    values = [1.0] * 3 + [0.0] * 5
    (row,) = estimate("t", [number()], make_items([()] * 8), "a", numbers(values), {}, seed=0)
    added = reference.norm.ppf(0.975) ** 2
    centre = 3 / 8 + added / 8 / (8 + added)
    half = half_width([(5 / 8) ** 2] * 3 + [(3 / 8) ** 2] * 5, 1 / 4 + 1 / 64, added, 0.95)
    assert (row.low, row.high) == pytest.approx((centre - half, centre + half))


def test_unseen_clusters_move_a_ratio_by_what_replacing_a_cluster_would():
    """Totals 6 of 12 in four clusters of three items: one replaced by three items of (1, 1) gives 7.5 of 12."""
    values = np.array([[0.0, 1.0], [1.0, 1.0]])
    influences = unseen_influences(ratio, np.array([6.0, 12.0]), values, 3, 4)
    assert influences == pytest.approx([4 * (4.5 / 12 - 0.5), 4 * (7.5 / 12 - 0.5)])


def test_an_unseen_cluster_that_leaves_nothing_to_divide_by_moves_nothing():
    assert unseen_influences(ratio, np.array([1.0, 0.0]), np.array([[0.0, 0.0]]), 1, 2) == pytest.approx([0.0])


def test_whole_and_half_numbers_are_counts_and_others_are_measured():
    counts = np.array([[0.0], [1.0], [0.5]])
    assert possible_values([counts[:2], counts[1:]]).tolist() == [[0.0], [0.5], [1.0]]
    assert possible_values([np.array([[0.25]])]) is None
    assert possible_values([np.zeros((0, 1))]) is None
    assert possible_values([np.arange(MOST_VALUES, dtype=float)[:, None]]) is not None
    assert possible_values([np.arange(MOST_VALUES + 1.0)[:, None]]) is None


def test_extremes_are_the_items_with_the_smallest_and_the_largest_number():
    ends = extremes([np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([[2.0, 3.0], [9.0, 4.0]])])
    assert ends.tolist() == [[1.0, 2.0], [9.0, 4.0]]


@pytest.mark.parametrize(("changed", "few"), [(FEW_CHANGED - 1, True), (FEW_CHANGED, False), (0, True)])
def test_a_mean_of_which_few_clusters_changed_has_unseen_ones_added(changed, few):
    values = seeded().normal(size=40)
    moved = values + np.where(np.arange(40) < changed, 0.3 + 0.1 * values, 0.0)
    row = contrast("t", [number()], make_items([()] * 40), "a", numbers(values), {}, numbers(moved), {}, seed=0)[0]
    assert row.intervals.method == (
        "jackknife over clusters, unseen ones added" if few else "BCa bootstrap and Student's t over items"
    )
    assert row.intervals.at95.low < row.difference < row.intervals.at95.high


def test_a_mean_of_fewer_than_eight_clusters_that_all_changed_is_resampled():
    values = seeded().normal(size=7)
    row = contrast("t", [number()], make_items([()] * 7), "a", numbers(values), {}, numbers(2 * values), {}, seed=0)[0]
    assert row.intervals.method == "BCa bootstrap and Student's t over items"


def test_equal_numbers_everywhere_have_no_interval():
    row = estimate("t", [number()], make_items([()] * 30), "a", numbers([3.0] * 30), {}, seed=0)[0]
    assert (row.low, row.high, row.reason) == (None, None, ALL_ALIKE)
