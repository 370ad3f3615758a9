"""Simulations: what the intervals cover, what level the tests hold, and how far both go where a caution stands.

About three minutes; they run in the slow lane (CRUSHTEST_SLOW=1). Every bound leaves room for the simulation's own
error: with 1000 studies a true 95% shows as 93.6% to 96.4% nineteen times in twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from crushtest.records import Item
from crushtest.results import Contrast, Estimate
from crushtest.stats import contrast, estimate
from crushtest.stats.harm_bounds import harm_of
from crushtest.stats.multiplicity import benjamini_hochberg
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong

pytestmark = pytest.mark.slow

STUDIES = 1000
REPLICATES = 1000
Draw = Callable[[np.random.Generator], np.ndarray]


def clustered(clusters: int, size: int) -> list[Item]:
    return make_items([()] * (clusters * size), [f"c{i // size}" for i in range(clusters * size)])


def estimates(draw: Draw, items: list[Item], *, rate: bool) -> Iterator[Estimate]:
    rng = np.random.default_rng(1)
    for _ in range(STUDIES):
        values = draw(rng)
        answers = right_or_wrong(values > 0) if rate else numbers(values)
        metric = ACCURACY if rate else number()
        yield estimate("t", [metric], items, "a", answers, {}, seed=int(rng.integers(1 << 30)), replicates=REPLICATES)[
            0
        ]


def contrasts(draw: Callable[[np.random.Generator], tuple], items: list[Item], *, rate: bool) -> Iterator[Contrast]:
    rng = np.random.default_rng(2)
    answers, metric = (right_or_wrong, ACCURACY) if rate else (numbers, number())
    for _ in range(STUDIES):
        dense, arm = draw(rng)
        yield contrast(
            "t",
            [metric],
            items,
            "a",
            answers(dense),
            {},
            answers(arm),
            {},
            seed=int(rng.integers(1 << 30)),
            replicates=REPLICATES,
        )[0]


def covered(rows: Iterator[Estimate] | Iterator[Contrast], truth: float) -> float:
    return float(
        np.mean(
            [row.intervals is not None and row.intervals.at95.low <= truth <= row.intervals.at95.high for row in rows]
        )
    )


def beta_binomial(rng: np.random.Generator, clusters: int, size: int, rate: float, within: float) -> np.ndarray:
    """Outcomes whose clusters correlate by `within`."""
    scale = 1 / within - 1
    chance = np.repeat(rng.beta(rate * scale, (1 - rate) * scale, clusters), size)
    return rng.random(clusters * size) < chance


INDEPENDENT = {
    "rate 0.5, n 100": (lambda rng: rng.random(100) < 0.5, 0.5, True),
    "rate 0.1, n 200": (lambda rng: rng.random(200) < 0.1, 0.1, True),
    "normal, n 100": (lambda rng: rng.normal(size=100), 0.0, False),
    "exponential, n 100": (lambda rng: rng.exponential(size=100), 1.0, False),
    "exponential, n 400": (lambda rng: rng.exponential(size=400), 1.0, False),
}


@pytest.mark.parametrize("case", INDEPENDENT)
def test_intervals_of_independent_items_cover(case):
    draw, truth, rate = INDEPENDENT[case]
    count = len(draw(np.random.default_rng(0)))
    assert covered(estimates(draw, make_items([()] * count), rate=rate), truth) >= 0.93


@pytest.mark.parametrize(("clusters", "size", "within"), [(20, 10, 0.1), (20, 10, 0.3), (20, 30, 0.3), (60, 5, 0.5)])
def test_intervals_of_clustered_items_cover(clusters, size, within):
    rows = estimates(lambda rng: beta_binomial(rng, clusters, size, 0.4, within), clustered(clusters, size), rate=True)
    assert covered(rows, 0.4) >= 0.93


def test_ignoring_the_clusters_would_not_have_covered():
    """The same answers as independent items: the interval that other tools print."""
    rows = estimates(lambda rng: beta_binomial(rng, 20, 30, 0.4, 0.3), make_items([()] * 600), rate=True)
    assert covered(rows, 0.4) < 0.6


def flip_some(rng: np.random.Generator, count: int, up: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    """Dense right half of the time; `up` and `down` are shares of all items that flip."""
    dense = rng.random(count) < 0.5
    chance = rng.random(count)
    arm = np.where(dense, chance >= 2 * down, chance < 2 * up)
    return dense, arm


@pytest.mark.parametrize(("count", "up", "down"), [(100, 0.1, 0.1), (100, 0.05, 0.15), (400, 0.04, 0.04)])
def test_intervals_of_paired_differences_cover(count, up, down):
    rows = contrasts(lambda rng: flip_some(rng, count, up, down), make_items([()] * count), rate=True)
    assert covered(rows, up - down) >= 0.93


@pytest.mark.parametrize("clusters", [20, 50])
def test_intervals_of_clustered_differences_cover(clusters):
    size = 10

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        base, effect = rng.normal(size=clusters), rng.normal(0, 0.3, clusters)
        chance = [np.repeat(ndtr(level), size) for level in (base, base + effect)]
        return rng.random(clusters * size) < chance[0], rng.random(clusters * size) < chance[1]

    assert covered(contrasts(draw, clustered(clusters, size), rate=True), 0.0) >= 0.93


# ---- where a caution stands --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "rate", "least"), [(100, 0.02, 0.93), (300, 0.01, 0.93), (30, 0.5, 0.9), (30, 0.1, 0.9)]
)
def test_rare_and_few_items_are_cautioned_and_cover_what_is_said(count, rate, least):
    rows = list(estimates(lambda rng: rng.random(count) < rate, make_items([()] * count), rate=True))
    assert covered(iter(rows), rate) >= least
    assert np.mean([row.caution is not None for row in rows]) > 0.9


@pytest.mark.parametrize(("clusters", "least"), [(5, 0.8), (10, 0.88)])
def test_few_clusters_are_cautioned_and_cover_what_is_said(clusters, least):
    rows = list(estimates(lambda rng: beta_binomial(rng, clusters, 20, 0.4, 0.2), clustered(clusters, 20), rate=True))
    assert covered(iter(rows), 0.4) >= least
    assert all("clusters to resample" in row.caution for row in rows)


def test_skewed_means_are_cautioned_where_they_do_not_cover():
    rows = list(estimates(lambda rng: rng.lognormal(0, 1, 100), make_items([()] * 100), rate=False))
    assert 0.88 <= covered(iter(rows), float(np.exp(0.5))) < 0.95
    missed = [row for row in rows if not row.intervals.at95.low <= np.exp(0.5) <= row.intervals.at95.high]
    assert np.mean([row.caution is not None for row in rows]) > 0.25
    assert missed


# ---- levels ----------------------------------------------------------------------------------------


def share(flags: list[bool]) -> float:
    return float(np.mean(flags))


def test_mcnemar_holds_its_level():
    rows = contrasts(lambda rng: flip_some(rng, 200, 0.05, 0.05), make_items([()] * 200), rate=True)
    assert share([row.p.value <= 0.05 for row in rows]) <= 0.06


@pytest.mark.parametrize("clusters", [6, 20])
def test_exchange_of_arms_holds_its_level_with_few_clusters(clusters):
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shift = np.repeat(rng.normal(0, 1, (2, clusters)), 8, axis=1)
        base = rng.normal(size=8 * clusters)
        return base + shift[0], base + shift[1]

    rows = list(contrasts(draw, clustered(clusters, 8), rate=False))
    assert share([row.p.value <= 0.05 for row in rows]) <= 0.065
    assert share([row.verdict in ("better", "worse") for row in rows]) <= 0.065


def test_clear_verdicts_on_a_null_study_are_rare():
    rows = contrasts(lambda rng: flip_some(rng, 300, 0.02, 0.02), make_items([()] * 300), rate=True)
    assert share([row.verdict in ("better", "worse") for row in rows]) <= 0.05


def grouped(rng: np.random.Generator, items: list[Item], effects: np.ndarray) -> list[Contrast]:
    """A contrast over groups `g=0`, ...: group k moves by effects[k]."""
    group = np.array([int(item.groups[0].partition("=")[2]) for item in items])
    dense = rng.normal(size=len(items))
    arm = dense + effects[group] + rng.normal(0, 1, len(items))
    return contrast(
        "t",
        [number()],
        items,
        "a",
        numbers(dense),
        {},
        numbers(arm),
        {},
        seed=int(rng.integers(1 << 30)),
        replicates=REPLICATES,
    )


def test_equal_effects_are_called_unequal_no_more_often_than_stated():
    rng = np.random.default_rng(3)
    items = make_items([(f"g={i % 5}",) for i in range(150)])
    rows = [grouped(rng, items, np.full(5, 0.5))[-1] for _ in range(400)]
    assert share([row.spread.p <= 0.05 for row in rows]) <= 0.07
    assert share([row.spread.p <= 0.5 for row in rows]) == pytest.approx(0.5, abs=0.08)


def test_unequal_effects_are_found():
    rng = np.random.default_rng(4)
    items = make_items([(f"g={i % 5}",) for i in range(300)])
    rows = [grouped(rng, items, np.array([0, 0, 0, 0, 1.0]))[-1] for _ in range(50)]
    assert share([row.spread.p <= 0.05 for row in rows]) > 0.9
    assert share([row.worst == "g=4" for row in rows]) > 0.9


def test_interval_of_the_worst_group_covers_although_it_was_searched_for():
    rng = np.random.default_rng(5)
    items = make_items([(f"g={i % 8}",) for i in range(320)])
    worst, own, false = [], [], []
    for _ in range(400):
        rows = grouped(rng, items, np.zeros(8))
        searched = rows[-1]
        (alone,) = [row for row in rows if row.group == searched.worst]
        worst.append(searched.intervals.at95.low <= 0 <= searched.intervals.at95.high)
        own.append(alone.intervals.at95.low <= 0 <= alone.intervals.at95.high)
        false.append(searched.p.value <= 0.05)
    assert share(worst) >= 0.93
    assert share(own) < 0.9
    assert share(false) <= 0.07


def test_a_gaps_contrast_covers_nearly_and_its_verdict_holds_its_level():
    rng = np.random.default_rng(7)
    items = make_items([(f"g={i % 8}",) for i in range(320)])
    metric, rows = replace(ACCURACY, with_gap=True), []
    for _ in range(300):
        dense, arm = (right_or_wrong(outcomes) for outcomes in flip_some(rng, 320, 0.05, 0.05))
        seed = int(rng.integers(1 << 30))
        results = contrast("t", [metric], items, "a", dense, {}, arm, {}, seed=seed, replicates=REPLICATES)
        rows += [row for row in results if row.metric == "accuracy_gap"]
    assert covered(iter(rows), 0.0) >= 0.9
    assert share([row.p.value <= 0.05 for row in rows]) <= 0.06
    assert share([row.verdict in ("better", "worse") for row in rows]) <= 0.06


def test_benjamini_hochberg_bounds_the_false_discovery_rate():
    rng = np.random.default_rng(6)
    rates = []
    for _ in range(2000):
        z = rng.normal(size=50) + np.where(np.arange(50) < 10, 3.0, 0.0)
        discovered = benjamini_hochberg(2 * (1 - ndtr(np.abs(z)))) <= 0.1
        rates.append(discovered[10:].sum() / max(1, discovered.sum()))
    assert np.mean(rates) <= 0.1 * 40 / 50 + 0.01


def is_equivalent(row: Contrast) -> bool:
    """Within 0.1 either way, as the gate decides it."""
    harm = harm_of(row, "move")
    return harm is not None and harm.high90 < 0.1


def test_equivalence_is_shown_at_the_margin_in_at_most_5_percent():
    """The true difference lies on the margin of 0.1: to call it equivalent is the error that the test bounds."""
    rows = list(contrasts(lambda rng: flip_some(rng, 300, 0.15, 0.05), make_items([()] * 300), rate=True))
    assert share([is_equivalent(row) for row in rows]) <= 0.065
    alike = list(contrasts(lambda rng: flip_some(rng, 300, 0.05, 0.05), make_items([()] * 300), rate=True))
    assert share([is_equivalent(row) for row in alike]) > 0.9
