"""Contrasts of 100,000 items in 50 groups with 10,000 replicates, beside scipy's bootstrap of the same numbers.

    python benchmarks/bootstrap.py [--items N] [--groups G] [--replicates R] [--no-scipy]

Four kinds of data, from the easiest to the hardest: right or wrong and every item its own cluster (few kinds of cluster
to draw), right or wrong in clusters of 20, numbers in clusters of 20, and numbers with every item its own, where a
thousand million draws are needed. Each `contrast` gives everything that contrasts.parquet holds: intervals and p of
all rows, the worst group, the spread. scipy's percentile bootstrap gives the intervals of the same rows and nothing
else; it does not know clusters, so it is run where every item is its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from crushtest.metrics import Metric, accuracy, mean
from crushtest.records import Answer, Choices, ChoiceScores, Item
from crushtest.results import Contrast
from crushtest.stats import contrast

CLUSTER = 20
T = TypeVar("T")


def main() -> None:
    """Run every kind and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--no-scipy", action="store_true")
    asked = parser.parse_args()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{asked.items:,} items, {asked.groups} groups, {asked.replicates:,} replicates, {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS={threads}"
    )
    print("kind                              contrast   scipy   ratio   largest difference of an end   peak memory")
    for kind, size, right_or_wrong in (
        ("right or wrong, single items", 1, True),
        ("right or wrong, clusters of 20", CLUSTER, True),
        ("numbers, clusters of 20", CLUSTER, False),
        ("numbers, single items", 1, False),
    ):
        rng = np.random.default_rng(0)
        dense, arm = outcomes(rng, asked.items) if right_or_wrong else numbers(rng, asked.items)
        items = make_items(asked.items, asked.groups, size)
        rows, took = timed(measure, items, dense, arm, right_or_wrong, asked.replicates)
        text = f"{kind:<32} {took:8.2f} s"
        if size == 1 and not asked.no_scipy:
            ends, scipys = timed(scipy_ends, dense, arm, asked.groups, asked.replicates)
            text += f" {scipys:6.1f} s {scipys / took:6.1f}x {largest_difference(rows, ends):>25.1%} of its width"
        else:
            text += " " * 55
        print(f"{text}   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:6.2f} GB", flush=True)


def make_items(count: int, groups: int, size: int) -> list[Item]:
    """Items in clusters of `size` neighbours; a cluster belongs to one group."""
    request = Choices("", ("a", "b"))
    return [Item(str(i), (f"group={i // size % groups}",), f"c{i // size}", request, gold=0) for i in range(count)]


def outcomes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense is right in 60%; one answer in ten flips, more often to wrong."""
    dense = rng.random(count) < 0.6
    flip = rng.random(count) < np.where(dense, 0.12, 0.07)
    return dense.astype(float), (dense ^ flip).astype(float)


def numbers(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two skewed numbers an item that correlate."""
    dense = rng.exponential(size=count)
    return dense, dense + rng.normal(0.02, 0.3, count)


def measure(items: list[Item], dense: np.ndarray, arm: np.ndarray, rate: bool, replicates: int) -> list[Contrast]:
    """All contrasts of one metric."""
    metric: Metric = (
        accuracy() if rate else mean("number", lambda item, answer, score: answer.logprobs[0], better="lower")
    )
    return contrast(
        "task", [metric], items, "arm", answers(dense, rate), {}, answers(arm, rate), {}, seed=0, replicates=replicates
    )


def answers(values: np.ndarray, rate: bool) -> dict[str, Answer]:
    """Answers whose first option has this log-probability, or is chosen where it is 1."""
    shift = 0.5 if rate else 0.0
    return {str(i): ChoiceScores((value, shift), (1, 1), (1, 1)) for i, value in enumerate(values.tolist())}


def scipy_ends(dense: np.ndarray, arm: np.ndarray, groups: int, replicates: int) -> list[tuple[float, float]]:
    """scipy's percentile intervals of all items and of each group."""
    from scipy.stats import bootstrap

    change = arm - dense
    batch = max(1, 20_000_000 // len(change))
    parts = [change, *(change[group::groups] for group in range(groups))]
    found = [
        bootstrap(
            (part,), np.mean, n_resamples=replicates, batch=batch, method="percentile", rng=np.random.default_rng(1)
        )
        for part in parts
    ]
    return [(f.confidence_interval.low, f.confidence_interval.high) for f in found]


def largest_difference(rows: list[Contrast], ends: list[tuple[float, float]]) -> float:
    """Of an interval's end from scipy's, as a share of the width."""
    own = {row.group: row for row in rows if not row.metric.endswith("_worst")}
    named = [own["all"], *(own[f"group={group}"] for group in range(len(ends) - 1))]
    return max(
        max(abs(row.intervals.at95.low - low), abs(row.intervals.at95.high - high)) / (high - low)
        for row, (low, high) in zip(named, ends, strict=True)
    )


def timed(work: Callable[..., T], *given: object) -> tuple[T, float]:
    """What work gives, and how many seconds it took."""
    start = time.perf_counter()
    result = work(*given)
    return result, time.perf_counter() - start
