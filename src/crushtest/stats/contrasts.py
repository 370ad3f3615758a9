"""Contrasts: every metric of an arm against dense, paired by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.records import Item
from crushtest.results import Contrast, Effect, Flips, Interval, Intervals, PValue
from crushtest.stats.decision_margins import mean_change, option_changes
from crushtest.stats.effects import cohen_d, cohen_h
from crushtest.stats.estimates import REPLICATES
from crushtest.stats.flips import count_flips
from crushtest.stats.heterogeneity import spread_test
from crushtest.stats.item_sums import Answers, Scores, measure_sums
from crushtest.stats.multiplicity import Correction, adjust_families
from crushtest.stats.significance import detectable, possible_move, test, testable_change
from crushtest.stats.slices import Case, MetricCases, Sample, cautions, difference
from crushtest.stats.uncertainty import distance_interval, uncertainty
from crushtest.stats.verdicts import INCONCLUSIVE, verdict
from crushtest.stats.worst_group import Searched, worst_row

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
    """Per metric: a row for each group, the gaps of attributes, groups against the rest, and the worst groups.

    Both arms' answers to an item stay together in every resample. Only items that both arms have a number for count.
    p is adjusted by families (see `multiplicity`). `compares` says what differs between the arms; see `Contrast`.
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
        for case in (*cases.groups, *cases.gaps, *cases.rests)
    ]
    rows = plain + list(_worst(task, arm, sample, found, seed))
    return [replace(row, compares=compares) for row in adjust_families(rows, correction)]


def _with_options(row: Contrast, sample: Sample, case: Case, changes: Array | None) -> Contrast:
    """The row with the means of its items' margins and KL, where its metric counts decisions; gaps make none."""
    decides = sample.metrics[case.metric].state is not None and not case.is_derived
    return replace(row, options=mean_change(changes, case.rows)) if decides else row


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
    row = Contrast(
        arm=arm,
        task=task,
        metric=case.name,
        group=case.group,
        dense=dense,
        value=value,
        n=case.n,
        n_unscored=case.n_unscored,
        flips=flips,
        better=case.better,
        verdict="undefined",
        clusters=case.clusters,
    )
    if dense is None or value is None:
        return replace(row, reason=_why_undefined(case, dense, value))
    return replace(
        _tested(row, case, float(difference(case.observed))),
        effect=replace(_effect(sample, case, dense, value), ratio=_ratio(sample, case, dense, value)),
        caution=_cautions(case, flips),
    )


def _tested(row: Contrast, case: Case, change: float) -> Contrast:
    """The row with its difference and, where there is one, its interval, p, verdict and detectable difference."""
    found, tested = uncertainty(case), test(case)
    if isinstance(found, str):
        return replace(row, difference=change, verdict=INCONCLUSIVE, reason=tested.untestable or found)
    interval, interval90 = found.interval(0.95), found.interval(0.90)
    said = verdict(case.better, change, interval, tested.p, _distance(case, interval))
    return replace(
        row,
        difference=change,
        intervals=Intervals(at95=interval, at90=interval90, method=found.method),
        p=None if tested.p is None else PValue(value=tested.p, method=tested.method),
        mde=None if tested.untestable else _detectable(interval, case),
        verdict=INCONCLUSIVE if tested.untestable else said,
        reason=tested.untestable,
    )


def _why_undefined(case: Case, dense: float | None, value: float | None) -> str:
    missing = "dense and arm" if dense is None and value is None else "dense" if dense is None else "arm"
    return f"{case.why_undefined()} ({missing})" if case.n else case.why_undefined()


def _detectable(interval: Interval, case: Case) -> float | None:
    """A detectable difference, or None where the metric cannot move that far: then none could be detected."""
    smallest, largest = detectable(interval, case.clusters), possible_move(case)
    if case.shape == "rate":
        smallest = max(smallest, testable_change(case.clusters, case.n))
    return smallest if largest is None or smallest <= largest else None


def _flips(sample: Sample, case: Case) -> Flips:
    if case.is_derived:
        return Flips()
    return count_flips(sample.arms[0][case.metric], sample.arms[1][case.metric], case.rows)


def _distance(case: Case, interval: Interval) -> Interval | None:
    return distance_interval(case, interval) if case.better == "zero" else None


def _ratio(sample: Sample, case: Case, dense: float, value: float) -> float | None:
    scaled = sample.metrics[case.metric].unit in RATIO_UNITS and case.better != "zero"
    return value / dense if scaled and dense > 0 and value >= 0 else None


def _effect(sample: Sample, case: Case, dense: float, value: float) -> Effect:
    if case.shape == "rate":
        return Effect(standardized=cohen_h(dense, value), kind="cohen_h")
    if case.shape == "mean":
        before, after = (arm[case.metric].columns[case.rows, 0] for arm in sample.arms)
        return Effect(standardized=cohen_d(before, after), kind="cohen_d")
    return Effect()


def _cautions(case: Case, flips: Flips) -> str | None:
    changed = (flips.up or 0) + (flips.down or 0)
    return cautions(case, rare=changed if case.shape == "rate" and changed < FEW_FLIPS else None)
