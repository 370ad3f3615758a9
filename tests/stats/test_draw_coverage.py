"""Simulations: the interval of a mean over draws covers the mean over all draws and all items, from 2 draws on.

What varies between draws ranges from nothing to ten times what the items leave open. The reduced run takes seconds;
CRUSHTEST_SLOW=1 runs every cell, and with `-s` prints the lowest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import ndtri

from crushtest.metrics import Array
from crushtest.results import Interval
from crushtest.stats.draws import TwoSources, narrowing
from crushtest.stats.intervals import wide_quantile
from crushtest.stats.rates import PairedCounts, paired_interval

LEAST = 0.93
CLUSTERS = (8, 20, 200)
BETWEEN = (0.0, 0.3, 1.0, 3.0, 10.0)
"""Standard deviation between draws, in standard errors that the items leave of one draw."""
SHARED = (1.0, 0.5, 0.0)
"""Share of an item's variance that all draws have in common; the rest is what a draw does to an item."""
CHANGES = ((0.02, 0.005), (0.1, 0.1), (0.3, 0.05))
"""Chances that an item's outcome vanishes, and appears, in a draw without an effect of its own."""


class Study(NamedTuple):
    """A simulated study: what its draws leave open, and one draw's own interval by its items."""

    sources: TwoSources
    one_draw: Interval


class Cell(NamedTuple):
    draws: int
    clusters: int
    shared: float
    between: float


def without_one(totals: Array, size: float) -> Array:
    """Mean of `size` items, of cluster totals [draws, clusters], without each cluster."""
    clusters = totals.shape[1]
    return (totals.sum(axis=1, keepdims=True) - totals) / (size * (clusters - 1) / clusters)


def numbers(rng: np.random.Generator, cell: Cell, studies: int) -> Iterator[Study]:
    """Changes of measured numbers: normal, one item a cluster, true mean 0."""
    draws, clusters, shared, between = cell
    for _ in range(studies):
        own = rng.normal(size=(draws, clusters)) * np.sqrt(1 - shared)
        changes = rng.normal(size=clusters) * np.sqrt(shared) + own
        changes += rng.normal(size=(draws, 1)) * between / np.sqrt(clusters)
        values, errors = changes.mean(axis=1), changes.std(axis=1) / np.sqrt(clusters - 1)

        def intervals(level: float, values: Array = values, errors: Array = errors) -> list[Interval]:
            half = wide_quantile((1 + level) / 2, clusters) * errors
            return [Interval(*ends) for ends in zip(values - half, values + half, strict=True)]

        narrow = narrowing(list(without_one(changes, clusters)), np.ones(clusters, np.int64))
        yield Study(TwoSources(float(values.mean()), values, intervals, narrow), intervals(0.95)[0])


def rates(rng: np.random.Generator, cell: Cell, chances: tuple[float, float], studies: int) -> Iterator[Study]:
    """Changes of right or wrong, 5 items a cluster that move together (0.3)."""
    draws, clusters, shared, between = cell
    size, (down, up) = 5, chances
    shift = between * np.sqrt((down + up) * 2 / (clusters * size)) * 2
    ends = ndtri(down), ndtri(1 - up)
    for _ in range(studies):
        common = rng.normal(size=(1, clusters, 1)) * np.sqrt(0.3) + rng.normal(size=(1, clusters, size)) * np.sqrt(0.7)
        own = rng.normal(size=(draws, clusters, size))
        latent = common * np.sqrt(shared) + own * np.sqrt(1 - shared) + rng.normal(size=(draws, 1, 1)) * shift
        latent /= np.sqrt(1 + shift**2)  # so that the chances are the same whatever varies between draws
        lost, gained = (latent < ends[0]).sum(axis=2), (latent > ends[1]).sum(axis=2)
        net = (gained - lost).astype(float)
        counts = [
            PairedCounts(one.astype(float), other.astype(float), np.full(clusters, float(size)))
            for one, other in zip(gained, lost, strict=True)
        ]
        intervals = lambda level, counts=counts: [paired_interval(one, level=level) for one in counts]  # noqa: E731
        values, without = net.sum(axis=1) / (clusters * size), without_one(net, clusters * size)
        narrow = narrowing(list(without), np.ones(clusters, np.int64))
        sources = TwoSources(float(values.mean()), values, intervals, narrow)
        yield Study(sources, intervals(0.95)[0])


def summary(studies: list[Study], truth: float) -> tuple[float, float]:
    """Return the coverage, and the mean width in mean widths of one draw's own interval."""
    intervals = [study.sources.interval(0.95) for study in studies]
    covered = np.mean([low - 1e-12 <= truth <= high + 1e-12 for low, high in intervals])
    widths = (
        np.mean([high - low for low, high in intervals]),
        np.mean([s.one_draw.high - s.one_draw.low for s in studies]),
    )
    return float(covered), float(widths[0] / widths[1])


def confirmed(simulate: Callable[[int], Iterator[Study]], truth: float, studies: int) -> tuple[float, float]:
    """Return the summary of that many studies; of five times as many new ones where they cover too seldom."""
    covered, width = summary(list(simulate(studies)), truth)
    return (covered, width) if covered >= LEAST else summary(list(simulate(5 * studies)), truth)


def assert_covers(cells: dict[tuple[object, ...], tuple[float, float]]) -> None:
    lowest = sorted(cells.items(), key=lambda cell: cell[1][0])[:4]
    print(f"\n{len(cells)} cells, median {np.median([c for c, _ in cells.values()]):.3f}, lowest:", *lowest, sep="\n  ")
    still = {key: width for key, (_, width) in cells.items() if key[3] == 0}
    print("widest where nothing varies between draws, in widths of one draw:", max(still.items(), key=lambda w: w[1]))
    assert {key: share for key, (share, _) in cells.items() if share < LEAST} == {}


@pytest.mark.slow
@pytest.mark.parametrize("draws", [2, 3, 10])
def test_means_over_draws_cover_in_every_cell(draws: int) -> None:
    rng = np.random.default_rng(draws)
    cells = [Cell(draws, *rest) for rest in product(CLUSTERS, SHARED, BETWEEN)]
    assert_covers({cell: confirmed(partial(numbers, rng, cell), 0.0, 1000) for cell in cells})


@pytest.mark.slow
@pytest.mark.parametrize("draws", [2, 3, 10])
def test_rates_over_draws_cover_in_every_cell(draws: int) -> None:
    rng = np.random.default_rng(10 + draws)
    cells = [Cell(draws, *rest) for rest in product(CLUSTERS, SHARED[:2], (0.0, 1.0, 10.0))]
    assert_covers(
        {
            (*cell, chances): confirmed(partial(rates, rng, cell, chances), chances[1] - chances[0], 300)
            for cell in cells
            for chances in CHANGES
        }
    )


@pytest.mark.parametrize("draws", [3, 10])
def test_a_few_cells_cover(draws: int) -> None:
    rng = np.random.default_rng(20 + draws)
    cells = [Cell(draws, 20, 0.5, between) for between in (0.0, 1.0, 10.0)]
    some = {(*cell, "numbers"): summary(list(numbers(rng, cell, 500)), 0.0) for cell in cells}
    some |= {(*cell, "rates"): summary(list(rates(rng, cell, (0.3, 0.05), 100)), -0.25) for cell in cells}
    assert {key: share for key, (share, _) in some.items() if share < LEAST - 0.02} == {}


def test_the_truth_of_simulated_rates_is_what_it_says() -> None:
    rng = np.random.default_rng(3)
    studies = list(rates(rng, Cell(2, 200, 0.5, 3.0), (0.3, 0.05), 300))
    assert np.mean([study.sources.estimate for study in studies]) == pytest.approx(-0.25, abs=0.01)
