"""Closed forms against scipy and worked numbers."""

import numpy as np
import pytest
from crushtest.stats.exact import cohen_d, cohen_h, detectable, detectable_flips, mcnemar
from scipy import stats as reference

from crushtest.stats.intervals import unchanged, wilson


@pytest.mark.parametrize(("up", "down"), [(0, 1), (3, 9), (9, 3), (7, 7), (40, 61), (0, 30)])
def test_mcnemar_is_the_two_sided_binomial_test_of_the_flips(up, down):
    assert mcnemar(up, down) == pytest.approx(reference.binomtest(up, up + down, 0.5).pvalue)


def test_mcnemar_without_flips_says_nothing():
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (1, 30), (15, 30), (30, 30), (977, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_scipys(successes, trials, level):
    expected = reference.binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert wilson(successes, trials, level=level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_holds_the_share_itself_whatever_is_rounded():
    for trials in range(1, 400):
        assert wilson(0, trials).low == 0.0
        assert wilson(trials, trials).high == 1.0


def test_interval_of_no_change_ends_where_tangos_score_reaches_its_bound():
    """With b = c = 0 the restricted rate of flips down is 0; the score of a difference t is n t / sqrt(n t (1 - t))."""
    n = 40
    low, high = unchanged(n)
    assert low == -high
    assert n * high / np.sqrt(n * high * (1 - high)) == pytest.approx(reference.norm.ppf(0.975))


def test_cohen_h_of_a_half_against_none_is_half_a_turn():
    assert cohen_h(0.0, 0.5) == pytest.approx(np.pi / 2)
    assert cohen_h(0.5, 0.0) == pytest.approx(-np.pi / 2)


def test_cohen_d_is_in_units_of_the_average_spread():
    dense, arm = np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0])
    assert cohen_d(dense, arm) == pytest.approx(1 / 2)
    assert cohen_d(np.ones(3), np.ones(3)) is None


def test_detectable_difference_has_eighty_percent_power():
    rng = np.random.default_rng(0)
    n = 40
    effect = detectable(1 / np.sqrt(n), n)
    found = [reference.ttest_1samp(rng.normal(effect, 1, n), 0).pvalue < 0.05 for _ in range(4000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.025)


def test_detectable_flips_are_those_that_reach_six_four_times_in_five():
    rate = detectable_flips(200)
    assert reference.binom.sf(5, 200, rate) == pytest.approx(0.8)
    assert mcnemar(6, 0) < 0.05 < mcnemar(5, 0)
    assert detectable_flips(5) is None  # even all five flipping shows nothing
