"""Estimates: every metric of one arm in every group, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crushtest.metrics import Metric
from crushtest.records import Estimate, Item
from crushtest.stats.cases import Case, Sample, cautions
from crushtest.stats.intervals import Bootstrap, Interval, wilson
from crushtest.stats.sums import Answers, Scores, measure_sums

REPLICATES = 10_000


def estimate(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    arm: str,
    answers: Answers,
    scores: Scores,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> list[Estimate]:
    """One row per metric and group (`all` and every `attribute=value`), then per attribute the metric's gap.

    The interval is a BCa bootstrap over clusters (see `docs/statistics.md`). A row without items, or whose formula has
    nothing to divide by, has the value None and says why.
    """
    items = list(items)
    sums = [measure_sums(metric, items, answers, scores) for metric in metrics]
    sample = Sample.draw(metrics, items, [sums], seed=seed, replicates=replicates)
    return [_row(task, arm, case) for found in sample.cases() for case in (*found.groups, *found.gaps)]


def _row(task: str, arm: str, case: Case) -> Estimate:
    value = float(case.observed[0])
    head = (arm, task, case.name, case.group)
    counts = (case.n, case.n_unscored, case.better)
    if not case.n or np.isnan(value):
        return Estimate(*head, None, None, None, *counts, reason=case.why_undefined(), clusters=case.clusters)
    found = case.bootstrap(case.observed[0], case.values[0], case.without[0])
    if isinstance(found, str):
        return Estimate(*head, value, None, None, *counts, reason=found, clusters=case.clusters, method=None)
    interval, method = _interval(case, value, found)
    beside = _wilson(case, value, found)
    return Estimate(
        *head,
        value,
        interval.low,
        interval.high,
        *counts,
        clusters=case.clusters,
        method=method,
        wilson_low=beside.low if beside else None,
        wilson_high=beside.high if beside else None,
        caution=cautions(case, found, rare=_rare(case, value)),
    )


def _interval(case: Case, value: float, found: Bootstrap) -> tuple[Interval, str]:
    """The bootstrap's interval; Wilson's over clusters where every resample of a rate is alike (0 of 30)."""
    if case.shape == "rate" and found.flat:
        return wilson(value * case.clusters, case.clusters), "wilson"
    return found.interval(0.95), case.method


def _wilson(case: Case, value: float, found: Bootstrap) -> Interval | None:
    """Wilson's interval at the effective number of items: as many as would give the resamples' variance."""
    if case.shape != "rate":
        return None
    variance = float(np.var(found.values))
    trials = value * (1 - value) / variance if variance > 0 else case.clusters
    return wilson(value * min(trials, case.n), min(trials, case.n))


def _rare(case: Case, value: float) -> int | None:
    """How many items have the rarer outcome, where that is few."""
    if case.shape != "rate":
        return None
    rarer = round(min(value, 1 - value) * case.n)
    return rarer if rarer < 10 else None
