"""Simulate arms that stop early beside the full runs that they stand for.

Items are right or wrong in dense and in the arm. Each of `templates` (the clusters) has blocks of items, and items of
a template, and those of a block the more, change together (a Gaussian copula). Every pool is judged twice by the gate's
own rule: as a whole, and look by look.

    PYTHONPATH=src:tests python tests/support/stopping_simulation.py RUNS
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from crushtest.gate.policy import Margin, Rule
from crushtest.gate.rows import check_margin
from crushtest.metrics import Array, ratio
from crushtest.results import Contrast, Interval, Intervals, Look, PValue
from crushtest.stats.pool import Forecast, Pool, arrange, forecast
from crushtest.stats.rates import PairedCounts, paired_interval, sign_test
from crushtest.stats.sequential import FEWEST_BLOCKS, LOOKS, Bounds, blocks_at_looks

MIN_ITEMS = 100


@dataclass(frozen=True)
class Shape:
    """Clusters, blocks per cluster, items per block, and how much of what moves an item is its cluster's or block's."""

    templates: int
    blocks: int
    items: int
    of_cluster: float = 0.0
    of_block: float = 0.0

    def draw(self, random: np.random.Generator, discordance: float, effect: float) -> tuple[Array, Array]:
        """Return dense's and the arm's outcomes [items]: `effect` more get worse than better."""
        templates = random.standard_normal(self.templates)[self.cluster]
        blocks = random.standard_normal(self.templates * self.blocks)[self.block]
        rest = random.standard_normal(len(self.block))
        shares = self.of_cluster, self.of_block, 1 - self.of_cluster - self.of_block
        latent = sum(np.sqrt(share) * part for share, part in zip(shares, (templates, blocks, rest), strict=True))
        down = latent < ndtri((discordance + effect) / 2)
        up = latent > -ndtri(max((discordance - effect) / 2, 1e-12))
        dense = np.where(down, 1.0, np.where(up, 0.0, random.random(len(self.block)) < 0.5))
        return dense, np.where(down, 0.0, np.where(up, 1.0, dense))

    @property
    def cluster(self) -> Any:
        return np.repeat(np.arange(self.templates), self.blocks * self.items)

    @property
    def block(self) -> Any:
        return np.repeat(np.arange(self.templates * self.blocks), self.items)


SINGLES = Shape(2000, 1, 1)
BLOCKS = Shape(125, 4, 4, 0.1, 0.2)
FEW_TEMPLATES = Shape(50, 10, 4, 0.1, 0.2)
MANY = Shape(200, 11, 4, 0.1, 0.2)


@dataclass(frozen=True)
class Cell:
    """One setting: the share of answers that change, the points lost, and the rule's margin."""

    shape: Shape
    discordance: float
    effect: float
    margin: float
    sure: Literal["regression", "equivalence"] = "regression"
    rules: int = 1
    bounds: Bounds = "normal"


@dataclass(frozen=True)
class Seen:
    """What came out: shares of the runs, and of the items.

    other          runs that stopped with another verdict than the full run's
    regressions    runs that ended as a regression; `full_regressions`: full runs that did
    mean, told_by  share of the items asked, on average, and that by which 90% of the runs had stopped
    """

    other: float
    regressions: float
    full_regressions: float
    mean: float
    told_by: float


def simulate(cell: Cell, runs: int, seed: int = 0) -> Seen:
    """Return what comes out of so many pools."""
    random = np.random.default_rng([seed, hash_of(cell)])
    rule = Rule(metric="accuracy", margin=Margin(size=cell.margin), sure=cell.sure)
    other, stopped, full, shares = 0, 0, 0, []
    for _ in range(runs):
        dense, arm = cell.shape.draw(random, cell.discordance, cell.effect)
        rank = random.permutation(cell.shape.templates * cell.shape.blocks)[cell.shape.block]
        whole = verdict_of_all(cell.shape, dense, arm, rule)
        early, share = verdict_early(cell, dense, arm, rank, rule)
        other += early is not None and early != whole
        stopped += (early or whole) == "regression"
        full += whole == "regression"
        shares.append(share)
    return Seen(other / runs, stopped / runs, full / runs, float(np.mean(shares)), float(np.quantile(shares, 0.9)))


def hash_of(cell: Cell) -> int:
    return sum(map(ord, repr(cell)))


def verdict_of_all(shape: Shape, dense: Array, arm: Array, rule: Rule) -> str:
    change = arm - dense
    up, down, items = (np.bincount(shape.cluster, each).astype(float) for each in (change > 0, change < 0, dense > -1))
    counts = PairedCounts(up, down, items)
    intervals = Intervals(
        at95=paired_interval(counts, level=0.95), at90=paired_interval(counts, level=0.90), method="score"
    )
    p = sign_test(up - down)
    assert p is not None
    return check_margin(1, rule, row(dense.mean(), arm.mean(), intervals, PValue(value=p, method="exact"))).outcome


def verdict_early(cell: Cell, dense: Array, arm: Array, rank: Any, rule: Rule) -> tuple[str | None, float]:
    """Return the verdict at the first look that settles it, None if only the whole pool does; and the share asked."""
    pool = pool_of(cell.shape, dense, rank)
    ones, at, looks = np.ones(len(dense)), blocks_at_looks(pool.blocks), []
    for number, blocks in enumerate(at[:-1], start=1):
        if blocks < FEWEST_BLOCKS:
            continue
        looks.append(blocks)
        asked = pool.items_in(blocks)
        seen = forecast(
            pool,
            np.stack([arm[pool.rows[:asked]], ones[:asked]], axis=1),
            ones[:asked] > 0,
            looks=tuple(looks),
            last=at[-2],
            error=0.05 / cell.rules,
            bounds=cell.bounds,
        )
        if isinstance(seen, str) or asked < MIN_ITEMS:
            continue
        check = check_margin(1, rule, looked(seen, number, asked, len(dense), both=cell.sure == "equivalence"))
        if not check.open:
            return check.outcome, LOOKS[number - 1]
    return None, 1.0


def pool_of(shape: Shape, dense: Array, rank: Any) -> Pool:
    sums = np.stack([dense, np.ones(len(dense))], axis=1)
    kind: dict[str, Any] = {"formula": ratio, "is_rate": True, "possible": None, "bounds": (0.0, 1.0)}
    return arrange(np.arange(len(dense)), sums, rank, shape.cluster, **kind)


def looked(seen: Forecast, number: int, asked: int, items: int, *, both: bool) -> Contrast:
    low, high = seen.pool
    at95 = seen.reach(0.95)
    at90 = seen.reach(0.90) if both else at95
    intervals = Intervals(
        at95=Interval(low - at95.low, high + at95.high), at90=Interval(low - at90.low, high + at90.high), method=""
    )
    look = Look(number=number, of=len(LOOKS), items=items, low=low, high=high)
    return row(seen.dense, seen.value, intervals, None, n=asked, look=look)


def row(dense: float, value: float, intervals: Intervals, p: PValue | None, **more: Any) -> Contrast:
    given: dict[str, Any] = {"n": 2000} | more
    return Contrast(
        arm="arm",
        task="task",
        metric="accuracy",
        group="all",
        better="higher",
        dense=dense,
        value=value,
        difference=value - dense,
        n_unscored=0,
        clusters=100,
        verdict="no clear difference",
        intervals=intervals,
        p=p,
        **given,
    )


def cells() -> Iterator[Cell]:
    """Yield every cell of the page, those of most interest first."""
    for shape, discordance in product((SINGLES, BLOCKS), (0.15, 0.20, 0.10)):
        for effect, margin in product((0.0, 0.02, 0.05, 0.10), (0.02, 0.05)):
            yield Cell(shape, discordance, effect, margin)
    for effect in (0.0, 0.02, 0.05):
        yield Cell(SINGLES, 0.15, effect, 0.05, "equivalence")
        yield Cell(BLOCKS, 0.15, effect, 0.05, "equivalence")
    for shape in (FEW_TEMPLATES, MANY):
        for effect, margin in ((0.0, 0.02), (0.02, 0.02), (0.05, 0.02), (0.10, 0.02), (0.05, 0.05), (0.10, 0.05)):
            yield Cell(shape, 0.15, effect, margin)
    for discordance, effect in ((0.005, 0.0), (0.01, 0.0), (0.03, 0.0), (0.02, 0.02), (0.03, 0.02)):
        for sure in ("regression", "equivalence"):
            yield Cell(SINGLES, discordance, effect, 0.02, sure)  # type: ignore[arg-type]
    for effect in (0.0, 0.05, 0.10):
        yield Cell(SINGLES, 0.15, effect, 0.02, rules=11)
        yield Cell(SINGLES, 0.15, effect, 0.02, bounds="exact")


if __name__ == "__main__":
    for each in cells():
        print(each, simulate(each, int(sys.argv[1])), flush=True)
