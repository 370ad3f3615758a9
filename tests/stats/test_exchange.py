"""The p of a difference among exchanged arms: its share of the draws, and its tail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from crushtest.stats.exchange import ENOUGH_BEYOND, TAIL, exchange_p

DRAWS = 10_000
MANY = 10_000
"""So many changed clusters that they set no floor."""


def drawn(distribution, *, seed: int = 0, size: int = DRAWS) -> np.ndarray:
    return distribution.rvs(size=size, random_state=np.random.default_rng(seed))


def test_p_is_the_share_of_draws_as_large_with_the_observed_one_among_them():
    draws = np.array([-3.0, 1.0, 2.0, -2.0, 0.5, 3.0, 0.0, 1.0, -1.0])
    assert exchange_p(2.0, draws, MANY) == (1 + 4) / (1 + 9)
    assert exchange_p(0.0, draws, MANY) == 1.0


def test_a_draw_that_differs_by_rounding_reaches_the_difference():
    assert exchange_p(0.3, np.array([0.1 + 0.2 - 1e-16, 0.3 - 1e-16, 0.0]), MANY) == 3 / 4
    assert exchange_p(3e6, np.array([3e6 * (1 - 1e-13), 0.0, 0.0]), MANY) == 2 / 4


def test_a_draw_without_a_value_counts_as_one_that_reaches_it():
    assert exchange_p(2.0, np.array([np.nan, 0.0, 1.0]), MANY) == 2 / 4
    draws = drawn(reference.norm)
    draws[: TAIL + 1] = np.nan
    assert exchange_p(9.0, draws, MANY) == (1 + TAIL + 1) / (1 + DRAWS)
    draws = drawn(reference.norm)
    draws[:5] = np.nan
    assert exchange_p(9.0, draws, MANY) == 6 / (1 + DRAWS), "no tail is fitted through what has no value"


@pytest.mark.parametrize("size", [4.0, 5.0, 6.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_tail_of_a_normal_distribution_is_taken_for_a_longer_one(size, seed):
    """p is never below the true one, and still far below 1 / 10,001."""
    truth = 2 * reference.norm.sf(size)
    p = exchange_p(size, drawn(reference.norm, seed=seed), MANY)
    assert truth <= p <= max(1 / (1 + DRAWS), 300 * truth)
    assert p < 2e-4


@pytest.mark.parametrize("size", [12.0, 14.0])
def test_the_tail_of_an_exponential_distribution_is_its_own(size):
    """The mean over seeds of log p is that of the truth, to a factor of two."""
    ps = [exchange_p(size, drawn(reference.expon, seed=seed), MANY) for seed in range(40)]
    assert np.mean(np.log(ps)) == pytest.approx(-size, abs=np.log(4))


@pytest.mark.parametrize("size", [60.0, 200.0])
def test_a_heavy_tail_keeps_p_large(size):
    truth = 2 * reference.t(3).sf(size)
    ps = [exchange_p(size, drawn(reference.t(3), seed=seed), MANY) for seed in range(20)]
    assert truth / 5 < np.median(ps) < 5 * truth


def test_the_fitted_tail_is_the_generalized_pareto_of_the_excesses():
    """Excesses at the plotting positions of a tail with shape 1/4 and scale 1 give it back."""
    chances = (np.arange(TAIL) + 0.5) / TAIL
    excesses = reference.genpareto(0.25).ppf(1 - chances)
    draws = np.concatenate([10 + excesses, np.full(DRAWS - TAIL, 10 - excesses[-1])])
    p = exchange_p(40.0, draws, MANY)
    assert p == pytest.approx(TAIL / DRAWS * reference.genpareto(0.25).sf(30), rel=0.15)


@pytest.mark.parametrize("changed", [6, 10, 14, 20])
def test_p_is_never_below_what_the_changed_clusters_allow(changed):
    least = 2 / 2**changed
    assert exchange_p(50.0, drawn(reference.norm), changed) == max(least, min(least, 1 / (1 + DRAWS)))


def test_a_tail_is_fitted_only_where_few_draws_reach_the_difference():
    at, below = ENOUGH_BEYOND, 0
    for seed in range(10):
        draws = np.sort(drawn(reference.expon, seed=seed))[::-1]
        assert exchange_p(draws[at - 1], draws, MANY) == (1 + at) / (1 + DRAWS)
        below += exchange_p(draws[at - 2], draws, MANY) < at / (1 + DRAWS)
    assert below >= 3


def test_too_few_draws_have_no_tail():
    assert exchange_p(50.0, drawn(reference.norm, size=4 * TAIL - 1), MANY) == 1 / (4 * TAIL)
    assert exchange_p(50.0, drawn(reference.norm, size=4 * TAIL), MANY) < 1e-6


def test_draws_that_are_all_alike_have_no_tail():
    assert exchange_p(1.0, np.zeros(DRAWS), MANY) == 1 / (1 + DRAWS)
