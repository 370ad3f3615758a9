"""Sums of whole numbers: multiplied in 32 bits, or counted by pattern, they are what plain addition gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import mean
from crushtest.stats import group_sums, heterogeneity
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import ClusterTotals, GroupTotals, total_by_cluster
from crushtest.stats.heterogeneity import Labels, spread_test
from crushtest.stats.item_sums import Measured
from crushtest.stats.resample import bootstrap, exchange, leave_one_out, observed
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded


def units_of(seed: int, scale: float) -> ClusterTotals:
    """Groups that hold all units, every third, or a run of them, with columns of which some are equal."""
    rng = seeded(seed)
    groups = []
    for units in (np.arange(300), np.arange(0, 300, 3), np.arange(100, 300)):
        columns = rng.integers(-20, 20, (len(units), 4)) * scale
        groups.append(GroupTotals(units, np.concatenate([columns, columns[:, 1:3], 0 * columns[:, :1]], axis=1), 7, ()))
    return ClusterTotals(np.ones(300, np.int64), tuple(groups))


@given(st.integers(0, 1000), st.sampled_from([1.0, 0.5, 1e5]))
def test_products_are_those_of_64_bits(seed: int, scale: float) -> None:
    units = units_of(seed, scale)
    weights = seeded(seed).multinomial(300, np.full(300, 1 / 300), size=7).astype(np.float64)
    plan = group_sums.plan(units, [rows.columns for rows in units.groups])
    assert (plan.wide.dtype == np.float32) == (scale == 1.0), "halves and large numbers are multiplied in 64 bits"
    totals = plan.totals(weights)
    for group, rows in enumerate(units.groups):
        own = totals.of_one(group, slice(None))
        assert own.dtype == np.float64
        assert np.array_equal(own, (weights[:, rows.units] @ rows.columns).T)


def test_totals_that_32_bits_cannot_hold_are_exact() -> None:
    """Each cluster's sum fits, all together do not: odd numbers beyond 2**24 would be rounded to even ones."""
    values = [8_000_001, 8_000_002, 8_000_004, 8_000_006]
    items = make_items([("g=a",)] * 4)
    asked = Asked([number()], items)
    sums = [asked.summed(Measured(numbers(values), {})).sums]
    units = total_by_cluster(asked.metrics, asked.cells, asked.layout, sums, [each.scored for each in sums[0]])
    assert all(rows.columns.dtype == np.float32 for rows in units.groups)
    assert observed(asked.metrics, units).groups[0, 0].tolist() == [sum(values) / 4] * 2
    without = leave_one_out(asked.metrics, units, 0)[0, 0]
    assert sorted(3 * without) == sorted(sum(values) - value for value in values)
    replicates = bootstrap(asked.metrics, units, seed=0, replicates=40).groups[0, 0, 0]
    assert {total % 1 for total in np.round(4 * replicates, 3)} == {0.0}
    assert any(total % 2 for total in np.rint(4 * replicates))


def test_sums_of_opposite_sign_are_exchanged_without_rounding() -> None:
    items = make_items([("g=a",)] * 3)
    asked = Asked([number()], items)
    sums = [asked.summed(Measured(numbers([value, 0, 0]), {})).sums for value in (9_000_001, -9_000_000)]
    units = total_by_cluster(asked.metrics, asked.cells, asked.layout, sums, [each.scored for each in sums[0]])
    values = exchange(asked.metrics, units, seed=0, replicates=40).groups[0, :, 0]
    assert set(np.rint(3 * values[0])) == {9_000_001.0, -9_000_000.0}


def spreads(monkeypatch: pytest.MonkeyPatch, asked: Asked, arms: list[Measured], *, by_pattern: bool) -> np.ndarray:
    sums = [asked.summed(arm).sums for arm in arms]
    used = [first.scored & second.scored for first, second in zip(*sums, strict=True)]
    with monkeypatch.context() as patch:
        if not by_pattern:
            patch.setattr(heterogeneity, "MOST_PATTERNS", 0)
        return np.stack(spread_test(asked.metrics, sums, used, Labels.of(asked.layout, "g", seed=3)))


@pytest.mark.parametrize("clusters", [1, 4, 200])
def test_spreads_counted_by_pattern_are_those_of_summed_units(monkeypatch: pytest.MonkeyPatch, clusters: int) -> None:
    rng = seeded(clusters)
    groups = [tuple(f"g={g}" for g in np.flatnonzero(rng.random(5) < 0.4)) for _ in range(200)]
    items = make_items(groups, [f"c{n // clusters}" for n in range(200)])
    whole = mean("whole", lambda item, answer, score: round(answer.logprobs[0]), better="lower")
    asked = Asked([ACCURACY, whole], items)
    arms = [Measured(right_or_wrong(rng.random(200) < share), {}) for share in (0.5, 0.7)]
    one, other = (spreads(monkeypatch, asked, arms, by_pattern=each) for each in (True, False))
    assert np.array_equal(one, other)


def test_measured_numbers_are_not_counted_by_pattern() -> None:
    items = make_items([("g=a",), ("g=b",)] * 40)
    asked = Asked([number()], items)
    sums = asked.summed(Measured(numbers(seeded().normal(size=80)), {})).sums[0]
    assert heterogeneity._patterns(lambda: iter(sums.columns.T)) is None


def test_shuffles_are_the_same_for_every_arm() -> None:
    items = make_items([("g=a",), ("g=b",), ("g=a", "g=b")] * 20, [f"c{n // 2}" for n in range(60)])
    asked = Asked([ACCURACY], items)
    first, again = ([*asked.labels("g", 0).shuffles()] for _ in range(2))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], next(asked.labels("g", 1).shuffles()))
