"""Intervals and p of rates, against published numbers, scipy, and the likelihood itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference
from scipy.optimize import brentq, minimize_scalar

from crushtest.stats.intervals import clopper_pearson
from crushtest.stats.rates import (
    MOST_STEPS,
    PairedCounts,
    RateCounts,
    mcnemar,
    paired_interval,
    rate_interval,
    sign_test,
)


def alone(up: int, down: int, items: int) -> PairedCounts:
    """Items that are each their own cluster."""
    change = np.repeat([1, -1, 0], [up, down, items - up - down])
    return PairedCounts((change > 0).astype(float), (change < 0).astype(float), np.ones(items))


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemars_exact_p_is_scipys_binomial_test(up: int, down: int) -> None:
    expected = reference.binomtest(up, up + down).pvalue if up + down else 1.0
    assert mcnemar(up, down) == pytest.approx(expected, rel=1e-9)


def times(counts: PairedCounts, size: int) -> PairedCounts:
    """The same clusters with `size` equal items each."""
    return PairedCounts(*(size * column for column in counts))


def score_interval(up: float, down: float, items: float, z: float) -> tuple[float, float]:
    """Tango's interval from its definition: the rate of flips down is fitted numerically under each difference."""

    def score(difference: float) -> float:
        def loss(chance_down: float) -> float:
            chances = (chance_down + difference, chance_down, 1 - 2 * chance_down - difference)
            counts = (up, down, items - up - down)
            return -sum(n * np.log(max(chance, 1e-300)) for n, chance in zip(counts, chances, strict=True) if n)

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        fitted = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        return (up - down - items * difference) / np.sqrt(items * (2 * fitted + difference * (1 - difference)))

    estimate, edge = (up - down) / items, 1 - 1e-9
    return (
        brentq(lambda t: score(t) - z, -edge, estimate - 1e-9),
        brentq(lambda t: score(t) + z, estimate + 1e-9, edge),
    )


def hull(up: float, down: float, items: float, level: float, *, t: float | None = None) -> tuple[float, float]:
    """Tango's interval (with Student's t in place of z where given), widened to the exact ones of either direction."""
    z = reference.norm.ppf((1 + level) / 2)
    low, high = score_interval(up, down, items, t or z)
    effective = items * (z / t) ** 2 if t else items
    most = [
        reference.beta.ppf((1 + level) / 2, share * effective + 1, (1 - share) * effective)
        for share in (up / items, down / items)
    ]
    return min(low, up / items - most[1]), max(high, most[0] - down / items)


@pytest.mark.parametrize(
    ("up", "down", "items", "level", "expected"),
    [
        (1, 7, 21, 0.95, (-0.517, -0.026)),  # Fagerland, Lydersen and Laake 2014: airway hyper-responsiveness
        (6, 16, 161, 0.95, (-0.124, -0.005)),  # the same: complete response
        (28, 25, 618, 0.90, (-0.0148, 0.0247)),  # R, PropCIs::scoreci.mp(25, 28, 618)
        (48, 41, 549, 0.90, (-0.0157, 0.0414)),  # R, PropCIs::scoreci.mp
    ],
)
def test_paired_interval_is_tangos_as_published(up, down, items, level, expected):
    digits = 3 if level == 0.95 else 4
    assert tuple(
        round(end, digits) for end in score_interval(up, down, items, reference.norm.ppf((1 + level) / 2))
    ) == (expected)
    low, high = paired_interval(alone(up, down, items), level=level)
    assert round(high, digits) == expected[1]
    assert round(low, digits) == expected[0] or (items == 21 and low < expected[0]), "the exact end of 7 in 21"


@pytest.mark.parametrize(("up", "down", "items"), [(1, 7, 21), (9, 2, 32), (30, 30, 100), (40, 20, 160), (3, 20, 24)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_paired_interval_is_where_tangos_score_reaches_z_or_the_exact_end(up, down, items, level):
    interval = paired_interval(alone(up, down, items), level=level)
    assert interval == pytest.approx(hull(up, down, items, level), abs=1e-5)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("clusters", [6, 45, 46, 60])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_paired_interval_has_closed_ends_if_nothing_or_everything_changed(clusters, size, level):
    """Clusters whose items all move together are worth one item each."""
    square = reference.norm.ppf((1 + level) / 2) ** 2
    most = max(square / (clusters + square), 1 - ((1 - level) / 2) ** (1 / clusters))
    ends = {
        (0, 0): (-most, most),
        (clusters, 0): ((clusters - square) / (clusters + square), 1.0),
        (0, clusters): (-1.0, -(clusters - square) / (clusters + square)),
    }
    for (up, down), expected in ends.items():
        interval = paired_interval(times(alone(up, down, clusters), size), level=level)
        assert interval == pytest.approx(expected, abs=1e-12)


def test_fewer_than_six_clusters_have_students_t_in_place_of_z():
    square = reference.t.ppf(0.975, 4) ** 2
    interval = paired_interval(alone(5, 0, 5), level=0.95)
    assert interval == pytest.approx(((5 - square) / (5 + square), 1.0))
    z = reference.norm.ppf(0.975) ** 2
    assert paired_interval(alone(6, 0, 6), level=0.95).low == pytest.approx((6 - z) / (6 + z))


@pytest.mark.parametrize(("up", "items"), [(1, 40), (2, 100), (1, 400)])
def test_paired_interval_contains_the_commoner_directions_exact_one(up, items):
    exact = reference.binomtest(up, items).proportion_ci(0.95, method="exact").high
    above, below = paired_interval(alone(up, 0, items), level=0.95), paired_interval(alone(0, up, items), level=0.95)
    assert above.high >= exact - 1e-12
    assert below == pytest.approx((-above.high, -above.low))


def test_paired_interval_takes_the_exact_end_where_the_score_end_dips():
    interval = paired_interval(alone(390, 0, 400), level=0.95)
    score = score_interval(390, 0, 400, reference.norm.ppf(0.975))
    exact = reference.binomtest(390, 400).proportion_ci(0.95, method="exact")
    assert interval.high == pytest.approx(max(score[1], exact.high), abs=1e-6)


@pytest.mark.parametrize(("outcomes", "items"), [(0, 30), (1, 30), (15, 30), (30, 30), (977, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_clopper_pearson_is_scipys(outcomes, items, level):
    expected = reference.binomtest(outcomes, items).proportion_ci(level, method="exact")
    assert clopper_pearson(outcomes, items, level=level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("outcomes", [0, 5, 30])
def test_rate_interval_of_uniform_clusters_is_the_clusters_own(outcomes, size):
    counts = RateCounts(size * (np.arange(30) < outcomes).astype(float), np.full(30, float(size)))
    expected = reference.binomtest(outcomes, 30).proportion_ci(0.95, method="exact")
    assert rate_interval(counts, level=0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_rate_interval_without_any_outcome_is_at_kishs_number_of_items():
    """Nothing shows how items of a cluster move: they are taken to move together. 100^2 / 1000 is 10 items."""
    items = np.array([20.0, *[10.0] * 6, 10.0, 5.0, 5.0])
    effective = items.sum() ** 2 / (items**2).sum()
    expected = 1 - 0.025 ** (1 / effective)
    assert rate_interval(RateCounts(np.zeros(10), items), level=0.95) == pytest.approx((0.0, expected))


def test_the_design_effect_is_shrunk_towards_whole_clusters_and_inflated():
    """Worked by hand. 10 clusters of 4: 20 of 40; sum of squares of (outcomes - 2) is 12, over 40 * 10 / 9 is 1/3.

    The item variance is 1/4, so the estimate is 4/3 * (1 + 2 / sqrt(10)). Nine clusters hold an outcome, nine one
    without: (9 * estimate + 2 * 4) / 11. It is below 4, so Student's t with 9 degrees of freedom replaces z.
    """
    outcomes = np.array([0, 1, 1, 2, 2, 2, 2, 3, 3, 4], float)
    effect = (9 * 4 / 3 * (1 + 2 / np.sqrt(10)) + 8) / 11
    effective = 40 / effect * (reference.norm.ppf(0.975) / reference.t.ppf(0.975, 9)) ** 2
    half = effective / 2
    expected = reference.beta.ppf([0.025, 0.975], [half, half + 1], [half + 1, half])
    assert rate_interval(RateCounts(outcomes, np.full(10, 4.0)), level=0.95) == pytest.approx(list(expected))


def test_the_design_effect_of_a_difference_is_that_of_its_net_changes():
    """Worked by hand. 10 clusters of 4, net changes 1, -1, 1, -1, 2, 0, ...: 4 up, 2 down, mean 0.05.

    Sum of (net - 0.2)^2 is 8 - 0.4 = 7.6, over 40 * 10 / 9 is 0.2111; the item variance is 0.15 - 0.05^2 = 0.1475.
    Five clusters changed: (5 * estimate + 2 * 4) / 7.
    """
    net = np.array([1, -1, 1, -1, 2, 0, 0, 0, 0, 0], float)
    counts = PairedCounts(np.maximum(net, 0), np.maximum(-net, 0), np.full(10, 4.0))
    effect = (5 * 7.6 / 40 * 10 / 9 / 0.1475 * (1 + 2 / np.sqrt(10)) + 8) / 7
    expected = hull(4 / effect, 2 / effect, 40 / effect, 0.95, t=reference.t.ppf(0.975, 9))
    assert paired_interval(counts, level=0.95) == pytest.approx(expected, abs=1e-5)


def test_items_that_move_alone_are_worth_more_than_those_in_step():
    rng = np.random.default_rng(0)
    spread = rng.permutation(np.repeat([1.0, 0.0], [60, 180])).reshape(60, 4).sum(axis=1)
    together = np.repeat([4.0, 0.0], [15, 45])
    widths = []
    for up in (spread, together):
        interval = paired_interval(PairedCounts(up, np.zeros(60), np.full(60, 4.0)), level=0.95)
        widths.append(interval.high - interval.low)
    assert widths[0] < 0.75 * widths[1]
    assert widths[1] < 1.05 * np.ptp(paired_interval(alone(15, 0, 60), level=0.95))


@pytest.mark.parametrize(("up", "down"), [(0, 1), (3, 9), (9, 3), (7, 7), (40, 61), (0, 30)])
@pytest.mark.parametrize("size", [1, 5])
def test_sign_test_of_equal_changes_is_the_binomial_test(up, down, size):
    net = size * np.repeat([1.0, -1.0, 0.0], [up, down, 4])
    assert sign_test(net) == pytest.approx(reference.binomtest(up, up + down, 0.5).pvalue)


@pytest.mark.parametrize("seed", range(8))
def test_sign_test_is_the_share_of_all_signs_that_reach_the_sum(seed):
    net = np.random.default_rng(seed).integers(-4, 5, 9).astype(float)
    sums = np.array([np.dot(signs, np.abs(net)) for signs in product((1, -1), repeat=9)])
    assert sign_test(net) == pytest.approx(float((np.abs(sums) >= abs(net.sum())).mean()))


@pytest.mark.parametrize("net", [[], [0.0, 0.0], [2.0, -2.0, 1.0, -1.0]])
def test_sign_test_of_changes_that_cancel_is_one(net):
    assert sign_test(np.array(net)) == 1.0


def test_sign_test_is_not_computed_where_the_changes_add_up_to_too_much():
    assert sign_test(np.array([MOST_STEPS - 1.0, 1.0])) == pytest.approx(0.5)
    assert sign_test(np.array([MOST_STEPS, 1.0])) is None
    assert sign_test(np.array([2.0 * MOST_STEPS, 2.0 * MOST_STEPS])) == 0.5, "changes of one size need no steps"
