"""The gaps that boxes of group values allow, against all points of a grid within them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from crushtest.stats.gaps import gap, gap_change_interval, gap_interval


def boxes(rng: np.random.Generator, groups: int, *, width: float = 1.0) -> np.ndarray:
    """[groups, (low, high)] on a grid of tenths."""
    low = rng.integers(0, 10, groups) / 10
    return np.stack([low, low + width * rng.integers(0, 6, groups) / 10], axis=1)


def points(bounds: np.ndarray, count: int) -> np.ndarray:
    """[groups, combinations] of evenly spaced points of each box."""
    return np.array(list(product(*(np.linspace(low, high, count) for low, high in bounds)))).T


def test_a_gap_is_the_largest_minus_the_smallest_defined_value():
    values = np.array([[0.1, np.nan, np.nan, 0.5], [0.4, 0.2, np.nan, 0.5], [0.3, 0.9, 0.7, np.nan]])
    differences = gap(values)
    assert differences[[0, 1, 3]] == pytest.approx([0.3, 0.7, 0.0])
    assert np.isnan(differences[2])


@pytest.mark.parametrize("seed", range(30))
def test_a_gaps_interval_is_the_least_and_the_most_that_the_boxes_allow(seed):
    bounds = boxes(np.random.default_rng(seed), 2 + seed % 2)
    gaps = gap(points(bounds, 51 if len(bounds) == 2 else 21))
    low, high = gap_interval(bounds)
    assert high == pytest.approx(gaps.max())
    assert low <= gaps.min() + 1e-12
    assert gaps.min() <= low + 0.06, "the points of the grid are up to 0.05 apart"


@pytest.mark.parametrize("seed", range(30))
def test_a_gaps_change_is_within_its_interval_wherever_the_groups_are(seed):
    rng = np.random.default_rng(seed)
    groups = 2 + seed % 2
    dense, changes, arm = (boxes(rng, groups) for _ in range(3))
    changes -= 0.5
    start, move = (points(bounds, 5) for bounds in (dense, changes))
    end = start[:, :, None] + move[:, None, :]
    inside = ((end >= arm[:, 0, None, None] - 1e-12) & (end <= arm[:, 1, None, None] + 1e-12)).all(axis=0)
    change = (gap(end) - gap(start)[:, None])[inside]
    low, high = gap_change_interval(changes, dense, arm)
    assert low <= high + 1e-12
    if inside.any():
        assert low - 1e-12 <= change.min()
        assert change.max() <= high + 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_the_change_of_a_gap_is_sharp_where_one_side_is_known(seed):
    """From known values the most that a gap can grow is reached, and so is the most by which it can shrink to them."""
    rng = np.random.default_rng(seed)
    known, changes = boxes(rng, 3, width=0.0), boxes(rng, 3) - 0.5
    anywhere = np.array([[-9.0, 9.0]] * 3)
    move, value = points(changes, 7), known[:, :1]
    assert gap_change_interval(changes, known, anywhere).high == pytest.approx((gap(value + move) - gap(value)).max())
    assert gap_change_interval(changes, anywhere, known).low == pytest.approx((gap(value) - gap(value - move)).min())


def test_groups_that_did_not_move_leave_the_gap_as_it_was():
    dense = np.array([[0.1, 0.3], [0.5, 0.9]])
    assert gap_change_interval(np.zeros((2, 2)), dense, dense) == (0.0, 0.0)
