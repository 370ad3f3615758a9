"""Contrasts: every metric of an arm against dense, paired by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.records import Contrast, Item
from crushtest.stats.cases import Case, MetricCases, Sample, cautions, difference
from crushtest.stats.estimates import REPLICATES
from crushtest.stats.exact import cohen_d, cohen_h, detectable, detectable_flips, mcnemar
from crushtest.stats.flips import Flips, count_flips
from crushtest.stats.intervals import Bootstrap, Interval, unchanged
from crushtest.stats.multiplicity import Correction, adjust
from crushtest.stats.options import mean_change, option_changes
from crushtest.stats.search import Searched, worst_row
from crushtest.stats.spread import spread_test
from crushtest.stats.sums import Answers, Scores, measure_sums
from crushtest.stats.verdicts import verdict

FEW_FLIPS = 10
RATIO_UNITS = ("rate", "perplexity", "bits", "ratio")
"""Units of metrics with a true zero, for which value / dense says something."""


def contrast(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    arm: str,
    dense_answers: Answers,
    dense_scores: Scores,
    answers: Answers,
    scores: Scores,
    *,
    seed: int,
    replicates: int = REPLICATES,
    correction: Correction = "benjamini-hochberg",
    compares: str | None = None,
) -> list[Contrast]:
    """Per metric: a row for each group, the gap of each attribute, and the worst group of each attribute.

    Both arms' answers to an item stay together in every resample. Only items that both arms have a number for count.
    p is adjusted over all rows of groups and gaps, and over those of worst groups, whose p pays for its own search
    already, apart from them. `compares` says what differs between the arms; see `Contrast`.
    """
    items = list(items)
    pairs = [
        [measure_sums(metric, items, given, marks) for metric in metrics]
        for given, marks in ((dense_answers, dense_scores), (answers, scores))
    ]
    sample = Sample.draw(metrics, items, pairs, seed=seed, replicates=replicates)
    found = sample.cases()
    changes = option_changes(items, dense_answers, answers)
    plain = [
        _with_options(_row(task, arm, sample, case), sample, case, changes)
        for cases in found
        for case in (*cases.groups, *cases.gaps)
    ]
    worst = list(_worst(task, arm, sample, found, seed))
    return [replace(row, compares=compares) for row in adjust(plain, correction) + adjust(worst, correction)]


def _with_options(row: Contrast, sample: Sample, case: Case, changes: Array | None) -> Contrast:
    """The row with the means of its items' margins and KL, where its metric counts decisions; gaps make none."""
    decides = sample.metrics[case.metric].state is not None and not case.is_gap
    return replace(row, **mean_change(changes, case.rows)._asdict()) if decides else row


def _worst(task: str, arm: str, sample: Sample, found: Sequence[MetricCases], seed: int) -> Iterator[Contrast]:
    """The worst group of every attribute that has several, for every metric that is reported for two or more."""
    for attribute, positions in sample.layout.attributes.items():
        names = {sample.layout.names[position] for position in positions}
        if len(names) < 2:
            continue
        spread, p = spread_test(sample.metrics, sample.arms, sample.used, sample.layout, attribute, seed=seed)
        for number, (metric, cases) in enumerate(zip(sample.metrics, found, strict=True)):
            groups = tuple(case for case in cases.groups if case.group in names and case.seen)
            if len(groups) >= 2 and metric.interval == "bootstrap":
                yield worst_row(task, arm, metric.name, Searched(attribute, groups, spread[number], p[number]))


def _row(task: str, arm: str, sample: Sample, case: Case) -> Contrast:
    dense, value = (None if np.isnan(found) or not case.n else float(found) for found in case.observed)
    flips = _flips(sample, case)
    if dense is None or value is None:
        return _undefined(task, arm, case, dense, value, flips)
    change = float(difference(case.observed))
    found = case.bootstrap(change, difference(case.values), difference(case.without))
    spread = _Spread.of(case, sample.metrics[case.metric], found)
    p, p_method = _p(case, flips, change, found)
    effect, kind = _effect(sample, case, dense, value)
    interval = spread.interval if spread else None
    return Contrast(
        arm,
        task,
        case.name,
        case.group,
        dense,
        value,
        change,
        interval.low if interval else None,
        interval.high if interval else None,
        p if interval else None,
        case.n,
        case.n_unscored,
        *flips[:3],
        case.better,
        verdict(case.better, change, interval, p, _distance(case, interval)),
        reason=found if isinstance(found, str) else None,
        clusters=case.clusters,
        method=spread.method if spread else None,
        p_method=p_method if interval else None,
        low90=spread.interval90.low if spread else None,
        high90=spread.interval90.high if spread else None,
        ratio=_ratio(sample, case, dense, value),
        effect=effect,
        effect_kind=kind,
        mde=spread.mde if spread else None,
        at_risk_up=flips.at_risk_up,
        at_risk_down=flips.at_risk_down,
        caution=_cautions(case, flips, found),
    )


def _undefined(task: str, arm: str, case: Case, dense: float | None, value: float | None, flips: Flips) -> Contrast:
    missing = "dense and arm" if dense is None and value is None else "dense" if dense is None else "arm"
    return Contrast(
        arm,
        task,
        case.name,
        case.group,
        dense,
        value,
        None,
        None,
        None,
        None,
        case.n,
        case.n_unscored,
        *flips[:3],
        case.better,
        "undefined",
        reason=f"{case.why_undefined()} ({missing})" if case.n else case.why_undefined(),
        clusters=case.clusters,
        at_risk_up=flips.at_risk_up,
        at_risk_down=flips.at_risk_down,
    )


class _Spread(NamedTuple):
    """How far a difference could have come out otherwise."""

    interval: Interval
    interval90: Interval
    mde: float | None
    method: str

    @classmethod
    def of(cls, case: Case, metric: Metric, found: Bootstrap | str) -> _Spread | None:
        """From the bootstrap; Tango's closed form where no right/wrong outcome changed; None without either."""
        if isinstance(found, str):
            return None
        if not found.flat:
            mde = possible(detectable(float(np.std(found.values)), case.clusters), metric)
            return cls(found.interval(0.95), found.interval(0.90), mde, case.method)
        if case.shape == "rate":
            clusters = case.clusters
            return cls(
                unchanged(clusters),
                unchanged(clusters, level=0.90),
                detectable_flips(clusters),
                "score, nothing changed",
            )
        return cls(found.interval(0.95), found.interval(0.90), None, case.method)


def possible(mde: float, metric: Metric) -> float | None:
    """A detectable difference, or None where the metric cannot move that far: then none could be detected.

    A rate lies between 0 and 1; one without a better end (a signed bias) between -1 and 1, and its difference within 2.
    """
    if metric.unit != "rate":
        return mde
    return mde if mde <= (1.0 if metric.better in ("lower", "higher") else 2.0) else None


def _flips(sample: Sample, case: Case) -> Flips:
    if case.is_gap:
        return Flips(None, None, None, None, None)
    return count_flips(sample.arms[0][case.metric], sample.arms[1][case.metric], case.rows)


def _p(case: Case, flips: Flips, change: float, found: Bootstrap | str) -> tuple[float | None, str]:
    """Exact McNemar where every item is its own cluster and right or wrong; else the exchange of arms by cluster.

    A replicate without a value counts as one that reaches the difference: it can only make p larger.
    """
    if case.shape == "rate" and case.clusters == case.n and flips.up is not None and flips.down is not None:
        return mcnemar(flips.up, flips.down), "exact McNemar"
    if case.jackknife:
        return (None if isinstance(found, str) else 1.0 if found.flat else found.p()), case.method
    reached = ~(np.abs(difference(case.exchanged)) < abs(change) - 1e-12 * max(1.0, abs(change)))
    return float((1 + reached.sum()) / (1 + len(reached))), "exchange of arms within clusters"


def _distance(case: Case, interval: Interval | None) -> Interval | None:
    """For metrics that are best at 0: the interval of |value| - |dense|."""
    if case.better != "zero" or interval is None:
        return None
    observed, values, without = (difference(np.abs(array)) for array in (case.observed, case.values, case.without))
    found = case.bootstrap(float(observed), values, without)
    return None if isinstance(found, str) else found.interval(0.95)


def _ratio(sample: Sample, case: Case, dense: float, value: float) -> float | None:
    scaled = sample.metrics[case.metric].unit in RATIO_UNITS and case.better != "zero"
    return value / dense if scaled and dense > 0 and value >= 0 else None


def _effect(sample: Sample, case: Case, dense: float, value: float) -> tuple[float | None, str | None]:
    if case.shape == "rate":
        return cohen_h(dense, value), "cohen_h"
    if case.shape == "mean":
        before, after = (arm[case.metric].columns[case.rows, 0] for arm in sample.arms)
        return cohen_d(before, after), "cohen_d"
    return None, None


def _cautions(case: Case, flips: Flips, found: Bootstrap | str) -> str | None:
    if isinstance(found, str):
        return None
    changed = (flips.up or 0) + (flips.down or 0)
    rare = changed if case.shape == "rate" and changed < FEW_FLIPS else None
    return cautions(case, found, rare=rare)
