"""Estimates: every metric of one arm in every group, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from crushtest.metrics import Metric
from crushtest.records import Item
from crushtest.results import Estimate
from crushtest.stats.asked import Asked, Summed
from crushtest.stats.draws import Draws
from crushtest.stats.item_sums import Answers, Measured, Scores
from crushtest.stats.slices import Slice, cautions
from crushtest.stats.threads import MANY_ITEMS, each
from crushtest.stats.uncertainty import draw_spread, uncertainty

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
    draws: Sequence[tuple[Answers, Scores]] = (),
) -> list[Estimate]:
    """Return one row per metric and group (`all` and every `attribute=value`), then per attribute the metric's gap.

    `uncertainty` chooses the interval of a row (see `docs/statistics.md`). A row without items, or whose formula has
    nothing to divide by, has the value None and says why. `draws` are the answers and scores of the arm's further
    draws: a value is then the mean over all, and its interval speaks of other draws as well.
    """
    asked = Asked(metrics, list(items))
    every = [asked.summed(Measured(*measured)) for measured in ((answers, scores), *draws)]
    return estimates_of(task, asked, arm, every, seed=seed, replicates=replicates)


def estimates_of(
    task: str, asked: Asked, arm: str, draws: Sequence[Summed], *, seed: int, replicates: int = REPLICATES
) -> list[Estimate]:
    """Return the rows of `estimate` of an arm whose draws are summed, the arm itself first."""
    sample = Draws.draw(asked, [[each.sums for each in draws]], seed=seed, replicates=replicates)
    rows: list[Estimate] = []
    for metric in range(len(asked.metrics)):
        rows += each(partial(_row, task, arm), sample.slices(metric).all, in_threads=len(asked.items) >= MANY_ITEMS)
    return rows


def _row(task: str, arm: str, slice_: Slice) -> Estimate:
    value = float(slice_.observed[0])
    is_defined = bool(slice_.n) and not np.isnan(value)
    row = Estimate(
        arm=arm,
        task=task,
        metric=slice_.name,
        group=slice_.group,
        value=value if is_defined else None,
        low=None,
        high=None,
        n=slice_.n,
        n_unscored=slice_.n_unscored,
        better=slice_.better,
        clusters=slice_.clusters,
    )
    if not is_defined:
        return replace(row, reason=slice_.why_undefined())
    row, row_intervals = replace(row, draws=draw_spread(slice_)), uncertainty(slice_)
    if isinstance(row_intervals, str):
        return replace(row, reason=row_intervals)
    interval = row_intervals.interval(0.95)
    caution = cautions(slice_, rare=_rare(slice_, value))
    return replace(row, low=interval.low, high=interval.high, method=row_intervals.method, caution=caution)


def _rare(slice_: Slice, value: float) -> int | None:
    """Return how many items have the rarer outcome of a rate, if they are few."""
    if slice_.kind != "rate":
        return None
    rarer = round(min(value, 1 - value) * slice_.n)
    return rarer if rarer < 10 else None
