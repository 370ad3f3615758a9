"""Corrections for many comparisons, against scipy and a worked case."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from crushtest.stats.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_benjamini_hochberg_is_scipys(count):
    p = np.random.default_rng(count).random(count) ** 2
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


def test_benjamini_hochberg_keeps_ties_equal():
    adjusted = benjamini_hochberg(np.array([0.01, 0.01, 0.5]))
    assert adjusted == pytest.approx([0.015, 0.015, 0.5])


def test_holm_multiplies_the_smallest_by_all_and_never_decreases():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])


def test_no_adjusted_p_is_above_one_or_below_the_raw_one():
    p = np.random.default_rng(0).random(50)
    for adjusted in (benjamini_hochberg(p), holm(p)):
        assert (adjusted >= p - 1e-12).all()
        assert (adjusted <= 1).all()
