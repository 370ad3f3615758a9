"""Simulate a search among candidates whose true harm is known: screened on one half, verified on the other.

Twelve candidates, the smaller the more they lose, with true losses on both sides of the margin. Items of a cluster, and
the candidates among themselves, change together (a Gaussian copula). Screening and verification decide by the interval
of a gate's rule. Beside it stands what one would return without a split: the smallest that passes on all items.

    PYTHONPATH=src:tests python tests/support/search_simulation.py RUNS
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from crushtest.metrics import Array
from crushtest.stats.fixed_sequence import Screened, front, verify_in_order
from crushtest.stats.rates import PairedCounts, paired_interval


@dataclass(frozen=True)
class Setting:
    """Clusters of items, both halves together; the share of answers that change; the margin; how alike things move."""

    clusters: int
    items: int
    discordance: float
    margin: float
    of_cluster: float
    of_item: float
    losses: tuple[float, ...]

    def draw(self, random: np.random.Generator) -> tuple[Array, Array]:
        """Return the items that got worse and better, per candidate and cluster [candidates, clusters]."""
        size = (self.clusters, self.items)
        shared = np.sqrt(self.of_cluster) * random.standard_normal((self.clusters, 1))
        shared = shared + np.sqrt(self.of_item) * random.standard_normal(size)
        own = np.sqrt(1 - self.of_cluster - self.of_item)
        downs, ups = [], []
        for loss in self.losses:
            latent = shared + own * random.standard_normal(size)
            downs.append((latent < ndtri((self.discordance + loss) / 2)).sum(axis=1))
            ups.append((latent > -ndtri(max((self.discordance - loss) / 2, 1e-12))).sum(axis=1))
        return np.array(downs, float), np.array(ups, float)


MARGIN = 0.05
LOSSES = tuple(MARGIN * share for share in (0.0, 0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.1, 1.3, 1.6, 2.0))
CROWDED = tuple(MARGIN * share for share in (0.0, 0.5, 0.9, 0.95, 1.0, 1.0, 1.0, 1.0, 1.05, 1.05, 1.1, 1.2))
SETTINGS = {
    "single items": Setting(1000, 1, 0.15, MARGIN, 0.0, 0.5, LOSSES),
    "clusters of 5": Setting(400, 5, 0.15, MARGIN, 0.15, 0.35, LOSSES),
    "crowded around the margin": Setting(1000, 1, 0.15, MARGIN, 0.0, 0.2, CROWDED),
    "all but one at the margin or beyond": Setting(1000, 1, 0.15, MARGIN, 0.0, 0.2, (0.0, *(MARGIN,) * 11)),
}


class Returned(NamedTuple):
    """The place of the candidate that a search returns, with a split and without; None if it returns none."""

    split: int | None
    unsplit: int | None


def search(setting: Setting, random: np.random.Generator) -> Returned:
    """Run one search both ways."""
    downs, ups = setting.draw(random)
    names = [str(place) for place in range(len(setting.losses))]
    half = random.permutation(setting.clusters) < setting.clusters // 2

    def harm(place: int, held: Array, level: float) -> tuple[float, float, float]:
        down, up = downs[place, held], ups[place, held]
        interval = paired_interval(PairedCounts(down, up, np.full(len(down), float(setting.items))), level=level)
        return interval.low, float((down - up).sum()) / (len(down) * setting.items), interval.high

    def passes(place: int, held: Array) -> bool:
        _, estimate, high = harm(place, held, 0.90)
        return max(estimate, high) < setting.margin

    screened = []
    for place, name in enumerate(names):
        low, estimate, _ = harm(place, half, 0.95)
        if low <= setting.margin and estimate <= setting.margin:
            screened.append(Screened(name, len(names) - place, estimate / setting.margin))
    verified = verify_in_order(front(screened), lambda one: passes(int(one.name), ~half))
    everything = np.ones(setting.clusters, bool)
    unsplit = [place for place in range(len(names)) if passes(place, everything)]
    return Returned(None if verified.answer is None else int(verified.answer.name), unsplit[-1] if unsplit else None)


def shares(setting: Setting, runs: int, seed: int = 0) -> dict[str, float]:
    """Return how often a search returns a candidate at the margin or beyond, and any, with and without a split."""
    random = np.random.default_rng(seed)
    results = [search(setting, random) for _ in range(runs)]
    beyond = {place for place, loss in enumerate(setting.losses) if loss >= setting.margin}
    return {
        f"{way}, {what}": sum(getattr(one, way) in held for one in results) / runs
        for way in ("split", "unsplit")
        for what, held in (("beyond the budget", beyond), ("any", set(range(len(setting.losses)))))
    }


if __name__ == "__main__":
    for title, setting in SETTINGS.items():
        print(title, shares(setting, int(sys.argv[1])), flush=True)
