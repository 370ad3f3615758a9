"""Split clusters in two halves of equal standing: one to choose by, one to verify what was chosen."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import NamedTuple


class Halves(NamedTuple):
    """The names of the clusters in either half."""

    search: frozenset[str]
    verify: frozenset[str]


def split_clusters(clusters: Mapping[str, Mapping[Hashable, int]], seed: int) -> Halves:
    """Return the clusters in two halves that share every stratum as evenly as they can.

    Clusters are dealt in random order, large ones first. Each goes to the half in which it leaves the smaller sum, over
    its strata, of squared differences between the halves, each relative to the stratum; a coin decides between equals.

    clusters  how much of each stratum (a task's clusters, its items, those of each group) a cluster holds
    seed      the same clusters and seed give the same halves, in whatever order the clusters come

    Answers play no part in it, so what is chosen on one half can be tested on the other.

    >>> halves = split_clusters({name: {"items": 1} for name in "abcdef"}, seed=0)
    >>> len(halves.search), len(halves.verify)
    (3, 3)
    """
    chance = random.Random(f"halves, {seed}")
    names = sorted(clusters)
    chance.shuffle(names)
    names.sort(key=lambda name: -sum(clusters[name].values()))
    total: Counter[Hashable] = Counter()
    for strata in clusters.values():
        total.update(strata)
    lead: Counter[Hashable] = Counter()  # what the search half holds more than the other
    sides: tuple[set[str], set[str]] = (set(), set())
    for name in names:
        strata = clusters[name]
        # (lead + n)^2 - (lead - n)^2 = 4 lead n: what joining the search half costs more than joining the other.
        costs_more = sum(lead[stratum] * count / total[stratum] ** 2 for stratum, count in strata.items())
        to_verify = costs_more > 1e-12 or (abs(costs_more) <= 1e-12 and chance.random() < 0.5)
        sides[to_verify].add(name)
        for stratum, count in strata.items():
            lead[stratum] += -count if to_verify else count
    return Halves(frozenset(sides[0]), frozenset(sides[1]))
