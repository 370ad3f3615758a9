"""How well one measure ranks the arms by another: the number by hand, and an interval that holds the true one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from crushtest.metrics import rate
from crushtest.records import DENSE, Answer, Item, Score
from crushtest.stats.asked import Asked
from crushtest.stats.ranking import FEWEST_ARMS, Losses, losses, ordered, rank, rank_interval, spearman
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong

ARMS = [f"a{place}" for place in range(9)]
Measured = dict[str, tuple[Mapping[str, Answer], Mapping[str, Mapping[str, object]]]]


def costs(values: Mapping[str, list[float]]) -> Measured:
    return {arm: (numbers(given), {}) for arm, given in values.items()}


def made(items: list[Item], harms: list[float], *, noise: float = 0.0, seed: int = 0, task: str = "t") -> Losses:
    """The losses of arms whose mean rises by `harms`, in a metric of which less is better."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=len(items))
    values = {
        DENSE: base,
        **{a: base + h + noise * rng.normal(size=len(items)) for a, h in zip(ARMS, harms, strict=False)},
    }
    measured = costs({arm: list(given) for arm, given in values.items()})
    return losses(task, "number", Asked([number()], items), measured.items(), seed=(seed,), replicates=300)  # type: ignore[arg-type]


ITEMS = make_items([()] * 80, [f"c{n // 2}" for n in range(80)])
RISING = [0.1 * place for place in range(9)]


def test_losses_are_differences_from_dense_in_the_bad_direction() -> None:
    items = make_items([()] * 4)
    right = {DENSE: [True] * 4, "a": [True, True, True, False], "b": [False] * 4}
    measured = {arm: (right_or_wrong(outcomes), {}) for arm, outcomes in right.items()}
    result = losses("t", "accuracy", Asked([ACCURACY], items), measured.items(), seed=(0,), replicates=50)
    assert result.arms == ("a", "b")
    assert result.observed == pytest.approx([0.25, 1.0])
    assert result.values.shape == (2, 50)
    assert result.values[1] == pytest.approx(1.0)
    signed = {DENSE: [0.2] * 4, "a": [-0.5] * 4, "b": [0.1] * 4}
    bias = losses("t", "number", Asked([number(better="zero")], items), costs(signed).items(), seed=(0,), replicates=5)  # type: ignore[arg-type]
    assert bias.observed == pytest.approx([0.3, -0.1])


def test_an_arm_without_any_number_takes_none_from_the_others() -> None:
    items, scored = (
        make_items([()] * 4),
        rate("scored", lambda item, answer, score: score > 0, better="lower", scorer="s"),
    )
    scores = {arm: {item.id: Score(value) for item in items} for arm, value in ((DENSE, 0.0), ("a", 1.0))}
    scores["silent"] = {item.id: Score(None, "empty") for item in items}
    measured = {arm: (numbers([0.0] * 4), {"s": given}) for arm, given in scores.items()}
    result = losses("t", "scored", Asked([scored], items), measured.items(), seed=(0,), replicates=5)  # type: ignore[arg-type]
    assert result.arms == ("a",)
    assert result.observed == pytest.approx([1.0])


def test_measures_of_the_same_clusters_share_their_draws_and_others_do_not() -> None:
    first, again, other = (made(ITEMS, RISING, noise=1.0, seed=seed).values for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12))
def test_the_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, float).T
    if len(set(first)) > 1 and len(set(second)) > 1:
        expected = spearmanr(first, second).statistic
        assert spearman(first[:, None], second[:, None])[0] == pytest.approx(expected)


def test_arms_that_rank_alike_and_in_reverse_reach_one_and_minus_one() -> None:
    by = made(ITEMS, RISING)
    assert rank(by, made(ITEMS, [3 * harm for harm in RISING])).correlation == pytest.approx(1.0)
    back = rank(by, made(ITEMS, RISING[::-1]))
    assert back.correlation == pytest.approx(-1.0)
    assert back.arms == 9


def test_without_enough_arms_or_with_ties_alone_there_is_a_reason() -> None:
    by = made(ITEMS, RISING)
    few = rank(by, made(ITEMS, RISING[: FEWEST_ARMS - 1]))
    assert (few.correlation, few.low) == (None, None)
    assert "7 arms" in (few.reason or "")
    tied = rank(by, made(ITEMS, [0.0] * 9))
    assert tied.correlation is None
    assert "same rank" in (tied.reason or "")


def test_resamples_that_are_all_alike_give_no_interval() -> None:
    one_cluster = make_items([()] * 40, ["c"] * 40)
    by, other = (made(one_cluster, RISING, noise=1.0, seed=seed) for seed in (1, 2))
    alone = rank(by, other)
    assert alone.correlation == pytest.approx(spearmanr(by.observed, other.observed).statistic)
    assert (alone.low, alone.high) == (None, None)
    assert "every resample" in (alone.reason or "")
    assert rank(made(ITEMS, RISING), made(ITEMS, RISING, noise=1.0)).low is None, "one of the two never varies"
    assert rank(made(ITEMS, RISING, noise=1.0), made(ITEMS, RISING, noise=1.0, seed=1)).low is not None


def test_an_infinite_loss_has_the_last_rank_and_no_interval() -> None:
    by, other = made(ITEMS, RISING, noise=1.0), made(ITEMS, RISING, noise=1.0, seed=1)
    endless = replace(by, observed=by.observed.copy(), values=by.values.copy())
    endless.observed[0] = np.inf
    for resampled in (np.inf, 1.0):
        endless.values[0] = resampled
        ranked = rank(endless, other)
        assert ranked.correlation == pytest.approx(spearmanr(endless.observed, other.observed).statistic)
        assert (ranked.low, ranked.arms) == (None, 9)
        assert "infinite" in (ranked.reason or "")


def test_noise_beyond_the_differences_leaves_everything_open() -> None:
    loud = rank(made(ITEMS, RISING, noise=30.0, seed=3), made(ITEMS, RISING, noise=30.0, seed=4))
    assert loud.low is not None
    assert loud.high is not None
    assert loud.low < -0.8
    assert loud.high > 0.8


@given(st.integers(0, 10_000))
def test_ordered_losses_stay_in_their_intervals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    middle, width = rng.normal(size=6), rng.random(6)
    orders = rng.permuted(np.tile(np.arange(6)[:, None], (1, 3)), axis=0)
    found = ordered(middle - width, middle + width, orders)
    assert ((found >= (middle - width)[:, None] - 1e-12) & (found <= (middle + width)[:, None] + 1e-12)).all()
    wide = ordered(middle - 100, middle + 100, orders)
    assert (np.diff(np.take_along_axis(wide, orders, axis=0), axis=0) > 0).all()


def covers(rng: np.random.Generator, arms: int, noise: float, correlation: float, *, clusters: int = 60) -> bool:
    """Whether the interval holds the rank correlation of the true losses, of which each measure has its own noise."""
    own = rng.standard_normal((2, arms))
    true = own[0], correlation * own[0] + np.sqrt(1 - correlation**2) * own[1]
    seen, resampled = [], []
    for losses_of in true:
        shared, apart = rng.standard_normal((1, clusters)), rng.standard_normal((arms, clusters))
        items = losses_of[:, None] + noise * np.sqrt(clusters / 2) * (shared + apart)
        weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=400) / clusters
        seen.append(items.mean(axis=1))
        resampled.append(items @ weights.T)
    interval = rank_interval((seen[0], seen[1]), (resampled[0], resampled[1]))
    value = spearmanr(*true).statistic
    return bool(interval.low - 1e-9 <= value <= interval.high + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("arms", [8, 20])
@pytest.mark.parametrize("noise", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("correlation", [0.0, 0.7, 1.0])
def test_the_interval_holds_the_true_rank_correlation(arms: int, noise: float, correlation: float) -> None:
    """`noise` is the standard error of a loss, of the standard deviation of the true losses over the arms."""
    rng = np.random.default_rng(arms)
    share = np.mean([covers(rng, arms, noise, correlation) for _ in range(200)])
    print(f"\n{arms} arms, noise {noise}, correlation {correlation}: {share:.1%}")
    assert share >= 0.93
