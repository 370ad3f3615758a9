"""Looks at a finite pool: bounds that hold at all looks together, and exact ones by betting."""

from __future__ import annotations

from itertools import pairwise
from math import e, exp, log1p

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.metrics import ratio
from crushtest.stats.betting import betting_interval, log_capital
from crushtest.stats.pool import Pool, arrange, forecast, share_interval
from crushtest.stats.sequential import LOOKS, blocks_at_looks, boundaries, critical_values

BEFORE_ALL = LOOKS[:-1]
ORACLE = (3.03, 3.09, 2.99, 2.87, 2.79, 2.71, 2.59, 2.48, 2.33)
ORACLE_OF_ELEVEN_RULES = (3.69, 3.76, 3.69, 3.59, 3.52, 3.47, 3.37, 3.29, 3.16)


def test_bounds_are_those_of_the_oracle() -> None:
    """The oracle's recursion rounds each bound up to its grid: its first one, which has a closed form, by 0.026."""
    bounds = critical_values(BEFORE_ALL, last=0.8, error=0.025)
    assert bounds[2:] == pytest.approx(ORACLE[2:], abs=0.02)
    assert bounds[:2] == pytest.approx(ORACLE[:2], abs=0.03)
    assert critical_values(BEFORE_ALL, last=0.8, error=0.025 / 11) == pytest.approx(ORACLE_OF_ELEVEN_RULES, abs=0.021)


def test_the_first_bound_has_its_closed_form() -> None:
    from scipy.special import ndtr

    spent = 0.025 * log1p((e - 1) * log1p(-0.05) / log1p(-0.8))
    assert 1 - ndtr(critical_values([0.05], last=0.8, error=0.025)[0]) == pytest.approx(spent, rel=1e-6)


def test_bounds_are_the_published_ones_of_pococks_spending() -> None:
    """Five even looks, one-sided 2.5%: gsDesign, and DeMets and Lan (Statistics in Medicine 13, 1994)."""
    times = np.arange(1, 6) / 5
    spent = [0.025 * log1p((e - 1) * time) for time in times]
    assert boundaries(times, spent) / np.sqrt(times) == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=0.002)


def test_the_bridge_leaves_its_bounds_as_often_as_was_spent() -> None:
    random, shares = np.random.default_rng(5), np.array(BEFORE_ALL)
    clock = shares / (1 - shares)
    steps = random.standard_normal((200_000, 9)) * np.sqrt(np.diff(clock, prepend=0.0))
    z = np.cumsum(steps, axis=1) / np.sqrt(clock)
    crossed = (z > critical_values(BEFORE_ALL, last=0.8, error=0.025)).any(axis=1).mean()
    assert crossed == pytest.approx(0.025, abs=0.0015)


def test_a_single_look_before_the_whole_has_the_normal_bound() -> None:
    from scipy.stats import norm

    for share in (0.05, 0.5, 0.8):
        assert critical_values([share], last=share, error=0.025)[0] == pytest.approx(norm.isf(0.025), abs=1e-6)


@pytest.mark.parametrize("shares", [(0.3,), (0.9, 0.96), (1e-6, 0.5), (0.5, 0.999999)])
def test_a_pool_that_is_whole_before_its_last_look_has_bounds(shares: tuple[float, ...]) -> None:
    bounds = critical_values(shares, last=1.0, error=0.025)
    clock = np.clip(shares, 1e-4, 1 - 1e-4) / (1 - np.clip(shares, 1e-4, 1 - 1e-4))
    steps = np.random.default_rng(5).standard_normal((200_000, len(shares))) * np.sqrt(np.diff(clock, prepend=0.0))
    z = np.cumsum(steps, axis=1) / np.sqrt(clock)
    assert (bounds >= 1.95).all()
    assert (z > bounds).any(axis=1).mean() <= 0.0265


def test_a_group_asked_whole_by_the_last_look_is_foretold() -> None:
    dense, arm = np.ones(24), np.repeat([1.0, 0.0, 1.0], 8)
    sums = np.stack([dense, dense], axis=1)
    pool = arrange(
        np.arange(24), sums, np.arange(24), np.arange(24), formula=ratio, is_rate=True, possible=None, bounds=(0.0, 1.0)
    )
    asked = np.stack([arm[:21], dense[:21]], axis=1)
    seen = forecast(pool, asked, np.ones(21, bool), looks=(20, 21), last=24, error=0.05)
    assert not isinstance(seen, str)
    assert seen.pool.low < -8 / 24 < seen.pool.high
    low, high = share_interval(pool, (arm[:21] == 0).astype(float), looks=(20, 21), last=24, error=0.05)
    assert low <= 8 / 24 <= high


@given(st.integers(1, 5000))
def test_looks_ask_more_and_more_until_all_is_asked(blocks: int) -> None:
    at = blocks_at_looks(blocks)
    assert at[-1] == blocks
    assert all(one <= other for one, other in pairwise(at))


# ---- betting ----------------------------------------------------------------------------------------

DRAWN = (
    "1 .75 .5 .75 .5 .5 .5 .5 0 .25 .25 .25 .75 1 1 .5 .5 0 .75 .5 .5 .5 .5 .25 0 1 .75 1 .5 1 .5 .5 .5 .75 .25 .5 .5 "
    ".75 .5 1"
)
CONFSEQ = {
    0.3: (7.483992686873298, 562.9281738539294, 161507758.93883646),
    0.4: (1.7143608043881686, 3.2318033919755127, 751.9957761689352),
    0.45: (1.2068649793212305, 1.2619969456182367, 15.602408186580506),
    0.5: (0.9641761719064791, 0.804717703472399, 1.900685449073645),
    0.52: (0.9014216175343887, 0.7171059205519988, 1.2358742502999203),
    0.55: (0.8286721268590554, 0.6268971971107752, 0.8229022196478655),
    0.6: (0.7439924952955209, 0.5340075848498069, 0.5656136738104992),
}
"""diversified_betting_mart of confseq 0.0.11 after 10, 25 and 40 of 100 numbers, by the pool's mean: N=100, theta=1,
trunc_scale=0.95, lambdas geomspace(0.01, 0.95, 20) / m."""


@pytest.mark.parametrize("mean", CONFSEQ)
def test_capital_is_confseqs_martingale(mean: float) -> None:
    drawn = np.array(DRAWN.split(), np.float64)
    capital = [exp(log_capital(drawn[:count], mean, 100)) for count in (10, 25, 40)]
    assert capital == pytest.approx(CONFSEQ[mean], rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=60), st.data())
def test_betting_never_refutes_what_must_be(pool: list[float], data: st.DataObject) -> None:
    drawn = np.array(pool[: data.draw(st.integers(1, len(pool)))])
    low, high = betting_interval(drawn, len(pool), error=0.025)
    assert 0 <= low <= high + 1e-9 <= 1 + 1e-9
    assert low >= drawn.sum() / len(pool) - 1e-9
    assert high <= 1 - (1 - drawn).sum() / len(pool) + 1e-9


def test_betting_covers_the_mean_at_all_times_together() -> None:
    random, missed = np.random.default_rng(1), 0
    pool = np.repeat([0.0, 0.5, 1.0], [4, 50, 16])
    for _ in range(300):
        drawn = random.permutation(pool)
        capitals = [log_capital(drawn[:count], pool.mean(), len(pool)) for count in range(5, 70, 3)]
        missed += max(capitals) >= -np.log(0.05)
    assert missed / 300 <= 0.05


# ---- what the blocks asked say ----------------------------------------------------------------------


def pool_of(random: np.random.Generator, blocks: int, *, per: int = 3, clusters: int = 30) -> Pool:
    dense = np.stack([(random.random(blocks * per) < 0.6).astype(float), np.ones(blocks * per)], axis=1)
    block = np.repeat(np.arange(blocks), per)
    return arrange(
        np.arange(len(dense)),
        dense,
        random.permutation(blocks)[block],
        block % clusters,
        formula=ratio,
        is_rate=True,
        possible=None,
        bounds=(0.0, 1.0),
    )


def worsened(random: np.random.Generator, dense: np.ndarray, chance: float) -> np.ndarray:
    lost = (random.random(len(dense)) < chance) & (dense[:, 0] > 0)
    return np.stack([np.where(lost, 0.0, dense[:, 0]), dense[:, 1]], axis=1)


@pytest.mark.parametrize("bounds", ["normal", "exact"])
def test_all_blocks_asked_leave_nothing_open(bounds: str) -> None:
    random = np.random.default_rng(2)
    pool = pool_of(random, 60)
    arm = worsened(random, pool.dense, 0.2)
    seen = forecast(pool, arm, arm[:, 1] > 0, looks=(20, 60), last=48, error=0.05, bounds=bounds)  # type: ignore[arg-type]
    assert not isinstance(seen, str)
    change = float((arm - pool.dense)[:, 0].mean())
    assert seen.pool == pytest.approx((change, change), abs=1e-9)
    assert share_interval(pool, arm[:, 0], looks=(20, 60), last=48, error=0.05) == (arm[:, 0].mean(),) * 2


@pytest.mark.parametrize("bounds", ["normal", "exact"])
def test_the_full_run_is_left_out_at_any_look_as_seldom_as_promised(bounds: str) -> None:
    random, outside, runs = np.random.default_rng(3), 0, 300 if bounds == "normal" else 30
    for _ in range(runs):
        pool = pool_of(random, 300)
        arm = worsened(random, pool.dense, 0.15)
        change, looks, at = (arm - pool.dense)[:, 0].mean(), [], blocks_at_looks(300)
        missed = False
        for blocks in at[3:-1]:
            looks.append(blocks)
            asked = arm[: pool.items_in(blocks)]
            given: dict[str, object] = {"looks": tuple(looks), "last": at[-2], "error": 0.10, "bounds": bounds}
            seen = forecast(pool, asked, asked[:, 1] > 0, **given)  # type: ignore[arg-type]
            assert not isinstance(seen, str)
            missed |= not seen.pool.low <= change <= seen.pool.high
        outside += missed
    assert outside / runs <= 0.14


def test_an_item_without_a_score_counts_in_neither_arm() -> None:
    random = np.random.default_rng(4)
    pool = pool_of(random, 50)
    arm = worsened(random, pool.dense, 0.3)
    scored = random.random(len(arm)) < 0.8
    seen = forecast(pool, arm * scored[:, None], scored, looks=(50,), last=40, error=0.05)
    assert not isinstance(seen, str)
    assert seen.value == pytest.approx(arm[scored, 0].mean())
    assert seen.dense == pytest.approx(pool.dense[scored, 0].mean())
