"""Effect sizes and detectable differences, against worked numbers and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from crushtest.results import Interval
from crushtest.stats import contrast
from crushtest.stats.effects import cohen_d, cohen_h
from crushtest.stats.rates import sign_test
from crushtest.stats.significance import detectable
from support.building import ACCURACY, make_items, right_or_wrong


def test_cohen_h_of_a_half_against_none_is_half_a_turn():
    assert cohen_h(0.0, 0.5) == pytest.approx(np.pi / 2)
    assert cohen_h(0.5, 0.0) == pytest.approx(-np.pi / 2)
    assert cohen_h(0.0, 1.0) == pytest.approx(np.pi)


def test_cohen_h_takes_a_rate_that_rounding_puts_beyond_its_bounds():
    assert cohen_h(-1e-17, 1 + 1e-15) == pytest.approx(np.pi)


def test_cohen_d_is_in_units_of_the_average_spread():
    dense, arm = np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0])
    assert cohen_d(dense, arm) == pytest.approx(1 / 2)
    assert cohen_d(dense, 2 * dense) == pytest.approx(2 / np.sqrt((4 + 16) / 2))


def test_cohen_d_is_undefined_where_nothing_varies():
    assert cohen_d(np.ones(3), np.ones(3)) is None
    assert cohen_d(np.ones(1), np.zeros(1)) is None
    assert cohen_d(np.array([0.0, 2.0]), np.array([0.0, 2.0])) == 0


def test_detectable_difference_has_eighty_percent_power():
    rng = np.random.default_rng(0)
    n = 40
    half = reference.t.ppf(0.975, n - 1) / np.sqrt(n)
    effect = detectable(Interval(-half, half), n)
    detected = [reference.ttest_1samp(rng.normal(effect, 1, n), 0).pvalue < 0.05 for _ in range(4000)]
    assert np.mean(detected) == pytest.approx(0.8, abs=0.025)


def test_the_ratio_of_a_rate_that_vanished_is_0():
    items = make_items([()] * 20, [f"c{i}" for i in range(20)])
    right, wrong = (right_or_wrong([answer] * 20) for answer in (True, False))
    lost, gained = (
        contrast("t", [ACCURACY], items, "a", before, {}, after, {}, seed=0, replicates=100)[0]
        for before, after in [(right, wrong), (wrong, right)]
    )
    assert lost.effect.ratio == 0
    assert gained.effect.ratio is None


def row(clusters: int, size: int = 1):
    """Of an arm in which nothing changed, half of the clusters right."""
    right = [i // size % 2 == 0 for i in range(clusters * size)]
    items = make_items([()] * len(right), [f"c{i // size}" for i in range(len(right))])
    answers = right_or_wrong(right)
    return contrast("t", [ACCURACY], items, "a", answers, {}, answers, {}, seed=0, replicates=100)[0]


@pytest.mark.parametrize("count", [20, 100, 240])
def test_a_rate_is_detectable_if_flips_reach_six_four_times_in_five(count):
    assert sign_test(np.ones(6)) < 0.05 < sign_test(np.ones(5))
    assert reference.binom.sf(5, count, row(count).mde) == pytest.approx(0.8)


def test_flips_may_fall_into_clusters_one_by_one():
    """Six of 40 clusters need six items of 200 at the least; the interval asks for more."""
    assert row(40, 5).mde >= row(40).mde / 5


@pytest.mark.parametrize("count", [6, 8, 10])
def test_a_detectable_difference_is_never_beyond_what_the_rate_can_move(count):
    """Half of the items are right: the rate can move by 0.5, and six of ten must flip to show it."""
    assert row(count).mde is None
    assert row(16).mde <= 0.5
