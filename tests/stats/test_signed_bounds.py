"""A signed bias is shown to be within a margin no more often than promised, wherever dense's own value lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.stats.harm_bounds import sizes

STUDIES, MARGIN = 4000, 0.1
VALUES = st.floats(-1, 1)


def shown(dense: float, arm: float, items: int, alike: float) -> float:
    """Return the share of simulated studies whose harm is shown to be within the margin.

    alike   correlation of the two values of an item, whose standard deviation is 0.9
    """
    rng = np.random.default_rng(0)
    one = rng.normal(size=(STUDIES, items))
    other = alike * one + np.sqrt(1 - alike**2) * rng.normal(size=(STUDIES, items))
    change = arm - dense + 0.9 * (other - one)
    centre, reach = change.mean(1), 1.645 * change.std(1, ddof=1) / items**0.5
    measured = dense + 0.9 * one.mean(1)
    ends = zip(measured, centre - reach, centre + reach, strict=True)
    return float(np.mean([sizes(*each)[1] < MARGIN for each in ends]))


@pytest.mark.parametrize("alike", [0.3, 0.7])
@pytest.mark.parametrize(
    ("dense", "arm"), [(0.0, 0.1), (-0.06, 0.16), (0.06, 0.16), (0.02, -0.12), (0.3, 0.4), (-0.3, 0.4)]
)
def test_a_bias_at_the_margin_is_rarely_shown_to_be_within_it(dense: float, arm: float, alike: float) -> None:
    assert shown(dense, arm, 240, alike) <= 0.065


def test_a_bias_that_stays_or_shrinks_is_still_shown() -> None:
    assert shown(0.0, 0.0, 1000, 0.9) > 0.95
    assert shown(0.5, 0.3, 240, 0.7) > 0.95


@given(VALUES, VALUES, VALUES, VALUES, VALUES)
def test_the_bounds_hold_for_every_change_between_the_ends(
    dense: float, one: float, other: float, inside: float, wrong: float
) -> None:
    low, high = sorted((one, other))
    change = low + (inside + 1) / 2 * (high - low)
    least, most = sizes(dense, low, high)
    assert least - 1e-9 <= abs(dense + change) - abs(dense) <= most + 1e-9
    if dense * (dense + low) < 0 and dense * (dense + high) < 0:
        assert abs(wrong + change) - abs(wrong) <= most + 1e-9, "whatever dense truly is"
