"""Would perplexity have told? How well the loss in one measure ranks the arms of a study by the loss in another.

The number is Spearman's rank correlation over the arms, with clusters of items resampled. It speaks of these arms and
other items of the same kind. All arms answered the same items, so they share the draws. Two tasks share them only if
they ask about the same clusters of the same items; otherwise each is resampled by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crushtest.metrics import Array
from crushtest.records import DENSE, Better
from crushtest.results import Interval
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import Index
from crushtest.stats.harm_bounds import ROUNDING
from crushtest.stats.intervals import UNDEFINED_SHARE
from crushtest.stats.item_sums import Measured

FEWEST_ARMS = 8
"""Fewer arms have too few ranks to say anything of perplexity."""

REACH = 0.5
"""The intervals of the losses reach this share of those that hold together for all arms and both measures: the errors
of many arms seldom all push the same way, and in simulation this share covers (docs/statistics.md)."""

REPLICATES = 2000
ORDERS = 200
"""So many resamples suggest orders of the arms."""

WEIGHTS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How well the loss in one measure ranks the arms by that in another.

    correlation   Spearman's: 1 if both rank them alike, 0 if one says nothing of the other; None with a `reason`
    low, high     its interval at 95%, over resampled clusters
    """

    by_task: str
    by_metric: str
    task: str
    metric: str
    arms: int
    correlation: float | None
    low: float | None
    high: float | None
    reason: str | None


@dataclass(frozen=True)
class Losses:
    """What a metric lost in each arm against dense: as observed [arms], and over resampled clusters [arms, n]."""

    task: str
    metric: str
    arms: tuple[str, ...]
    observed: Array
    values: Array


def losses(
    task: str,
    metric: str,
    asked: Asked,
    measured: Iterable[tuple[str, Measured]],
    *,
    seed: Sequence[int],
    replicates: int = REPLICATES,
) -> Losses:
    """Return the losses of every arm but dense, which is the first of `measured`, on items with a number in all arms.

    `metric` names one of those of `asked`. An arm without a number for any item is left out. Measures with the same
    seed and the same clusters share their draws.
    """
    meter = next(meter for meter in asked.meters if meter.metric.name == metric)
    better, formula = meter.metric.better, meter.metric.formula
    every = ((arm, meter.sums(given)) for arm, given in measured)
    kept = {arm: (sums.columns, sums.scored) for arm, sums in every if arm == DENSE or sums.scored.any()}
    arms = list(kept)
    used = np.logical_and.reduce([scored for _, scored in kept.values()])
    cluster = asked.layout.cluster
    totals = np.zeros((len(arms), int(cluster.max(initial=-1)) + 1, len(meter.metric.columns)))
    for place, (columns, _) in enumerate(kept.values()):
        np.add.at(totals[place], cluster[used], columns[used])
    loss = _loss(better)
    observed = loss(formula(*np.moveaxis(totals.sum(axis=1), -1, 0)))
    count, rng = totals.shape[1], np.random.default_rng(tuple(seed))
    step = max(1, WEIGHTS_AT_ONCE // max(1, count))
    values = np.empty((len(arms) - 1, replicates))
    for start in range(0, replicates, step):
        drawn = min(step, replicates - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=drawn).astype(np.float64)
        with np.errstate(all="ignore"):
            resampled = formula(*np.moveaxis(np.einsum("rc,ack->akr", weights, totals), 1, 0))
        values[:, start : start + drawn] = loss(resampled)
    return Losses(task, metric, tuple(arms[1:]), observed, values)


def _loss(better: Better) -> Callable[[Array], Array]:
    """Return what makes losses [arms, ...] of values [dense and arms, ...]: more is worse, in any direction."""

    def loss(values: Array) -> Array:
        cost = {"lower": values, "higher": -values, "zero": np.abs(values), "neither": np.full_like(values, np.nan)}
        made: Array = cost[better][1:] - cost[better][0]
        return made

    return loss


def rank(by: Losses, other: Losses) -> Ranking:
    """Return how well one measure ranks the arms by another, over the arms that have both."""
    both = [arm for arm in by.arms if arm in other.arms]
    rows = ([by.arms.index(arm) for arm in both], [other.arms.index(arm) for arm in both])
    defined = [not np.isnan(by.observed[a]) and not np.isnan(other.observed[b]) for a, b in zip(*rows, strict=True)]
    first, second = (np.array(places, np.int64)[np.array(defined, bool)] for places in rows)

    def made(correlation: float | None, interval: Interval | None, reason: str | None) -> Ranking:
        return Ranking(
            by_task=by.task,
            by_metric=by.metric,
            task=other.task,
            metric=other.metric,
            arms=len(first),
            correlation=correlation,
            low=interval and interval.low,
            high=interval and interval.high,
            reason=reason,
        )

    if len(first) < FEWEST_ARMS:
        return made(None, None, f"{len(first)} arms have both; {FEWEST_ARMS} are the fewest that are ranked")
    correlation = float(spearman(by.observed[first, None], other.observed[second, None])[0])
    if np.isnan(correlation):
        return made(None, None, "all arms have the same rank in one of the two")
    values = by.values[first], other.values[second]
    observed = by.observed[first], other.observed[second]
    lost = ~np.isfinite(np.concatenate(values)).all(axis=0)
    if lost.mean() > UNDEFINED_SHARE:
        return made(correlation, None, f"undefined or infinite in {lost.mean():.0%} of the resamples")
    if not np.isfinite(np.concatenate(observed)).all():
        return made(correlation, None, "the loss of an arm is infinite")
    if not all(_varies(seen, resampled[:, ~lost]) for seen, resampled in zip(observed, values, strict=True)):
        return made(correlation, None, "every resample gave the same losses, which says nothing of clusters not seen")
    return made(correlation, rank_interval(observed, (values[0][:, ~lost], values[1][:, ~lost])), None)


def _varies(observed: Array, values: Array) -> bool:
    """Return whether losses [arms] differ in resamples [arms, n] by more than rounding."""
    return bool(np.ptp(values, axis=1).max() > ROUNDING * max(1.0, np.abs(observed).max()))


def rank_interval(observed: tuple[Array, Array], values: tuple[Array, Array], level: float = 0.95) -> Interval:
    """Return an interval of the rank correlation of two measures, observed [arms] and resampled [arms, n].

    Noise in the losses brings their rank correlation nearer to 0, and resampling adds as much again: percentiles miss
    the correlation of the true losses, most of all a high one. So every loss gets an interval. The result reaches from
    the least to the most correlated losses that are found within these intervals: the losses of one measure are put
    into the orders that resamples suggest, and those of the other as near to the same order, or to its reverse, as the
    intervals allow. What all arms have in common moves no rank and is left out.
    """
    errors = [_own(resampled - seen[:, None]) for seen, resampled in zip(observed, values, strict=True)]
    deviations = [error.std(axis=1, ddof=1) for error in errors]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = [np.nan_to_num(np.abs(e) / d[:, None]) for e, d in zip(errors, deviations, strict=True)]
    reach = REACH * float(np.quantile(np.concatenate(ratios).max(axis=0), level))
    low, high = ([seen + sign * reach * d for seen, d in zip(observed, deviations, strict=True)] for sign in (-1, 1))
    few = slice(0, ORDERS)
    ranks = [_ranks(np.column_stack([seen, v[:, few]])) for seen, v in zip(observed, values, strict=True)]
    found = [float(spearman(observed[0][:, None], observed[1][:, None])[0])]
    for sign in (1, -1):
        for suggested in (ranks[0] + sign * ranks[1], ranks[0], sign * ranks[1]):
            orders = np.argsort(suggested, axis=0, kind="stable")
            pair = (ordered(low[0], high[0], orders), ordered(low[1], high[1], orders[::sign]))
            found += spearman(*pair).tolist()
    return Interval(min(found), max(found))


def ordered(low: Array, high: Array, orders: Index) -> Array:
    """Return losses [arms, n] within low and high [arms] that rise along the orders [arms, n] where they can."""
    step = 1e-9 * max(1e-12, float((high - low).max()))
    made, reached = np.empty(orders.shape), np.full(orders.shape[1], -np.inf)
    columns = np.arange(orders.shape[1])
    for arms in orders:
        made[arms, columns] = np.minimum(np.maximum(reached + step, low[arms]), high[arms])
        reached = np.maximum(reached, made[arms, columns])
    return made


def _own(errors: Array) -> Array:
    """Return errors [arms, n] without what all arms have in common."""
    own: Array = errors - errors.mean(axis=0)
    return own


def _ranks(values: Array) -> Array:
    from scipy.stats import rankdata

    ranks: Array = rankdata(values, axis=0)
    return ranks


def spearman(first: Array, second: Array) -> Array:
    """Return the rank correlations [n] of two arrays [arms, n], ties at their mean rank; NaN where all are tied."""
    ranks = [_ranks(each) - (len(each) + 1) / 2 for each in (first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations: Array = (ranks[0] * ranks[1]).sum(axis=0) / np.sqrt(
            (ranks[0] ** 2).sum(axis=0) * (ranks[1] ** 2).sum(axis=0)
        )
    correlations[np.isnan(first).any(axis=0) | np.isnan(second).any(axis=0)] = np.nan
    return correlations
