"""Contrasts: every metric of an arm against dense, or against another arm, paired by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.records import DENSE, Item
from crushtest.results import Contrast, Effect, Flips, Interval, Intervals, PValue
from crushtest.stats.asked import Asked, Summed
from crushtest.stats.decision_margins import mean_change, mean_changes
from crushtest.stats.draws import Draws, middle_flips
from crushtest.stats.effects import cohen_d, cohen_h
from crushtest.stats.estimates import REPLICATES
from crushtest.stats.flips import count_flips
from crushtest.stats.heterogeneity import spread_test
from crushtest.stats.item_sums import Answers, Measured, Scores
from crushtest.stats.multiplicity import Correction, adjust_families
from crushtest.stats.sample import Sample
from crushtest.stats.significance import detectable, detectable_move, possible_move, test, testable_change
from crushtest.stats.slices import Slice, cautions, difference
from crushtest.stats.threads import MANY_ITEMS, each
from crushtest.stats.tokens import TokenCounts, compare_tokens, without_per_token
from crushtest.stats.uncertainty import distance_interval, draw_spread, uncertainty
from crushtest.stats.validity import without_invalid
from crushtest.stats.verdicts import INCONCLUSIVE, UNCLEAR, UNDEFINED, clear_alone, verdict
from crushtest.stats.worst_group import Searched, worst_row

FEW_FLIPS = 10
RATIO_UNITS = ("rate", "perplexity", "bits", "ratio")
"""Units of metrics with a true zero, for which value / dense means something."""


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
    against: str = DENSE,
    draws: Sequence[tuple[tuple[Answers, Scores], tuple[Answers, Scores]]] = (),
) -> list[Contrast]:
    """Return per metric a row for each group, the gaps of attributes, groups against the rest, and the worst groups.

    Both arms' answers to an item stay together in every resample. Only items that both arms have a number for count.
    p is adjusted by families (see `multiplicity`). `compares` says what differs between the arms; see `Contrast`.
    `against` names the arm that gave `dense_answers`. Where the arms cut an item into other tokens, metrics per
    token are undefined, and there is no KL (see `tokens`). `draws` are further pairs of what the other arm and the arm
    measured (`draws`): a difference is then the mean over all pairs, and its interval speaks of other draws as well.
    """
    asked = Asked(metrics, list(items))
    pairs = [
        SummedPair(*(asked.summed(Measured(*measured)) for measured in pair))
        for pair in (((dense_answers, dense_scores), (answers, scores)), *draws)
    ]
    tokens = compare_tokens(asked.items, dense_answers, answers)
    return contrasts_of(
        task, asked, arm, pairs, tokens,
        seed=seed, replicates=replicates, correction=correction, compares=compares, against=against,
    )  # fmt: skip


class SummedPair(NamedTuple):
    """What the other arm and the arm measured in one draw, and the sums of it."""

    against: Summed
    arm: Summed


def contrasts_of(
    task: str,
    asked: Asked,
    arm: str,
    pairs: Sequence[SummedPair],
    tokens: TokenCounts,
    *,
    seed: int,
    replicates: int = REPLICATES,
    correction: Correction = "benjamini-hochberg",
    compares: str | None = None,
    against: str = DENSE,
) -> list[Contrast]:
    """Return the rows of `contrast` of arms that are summed; the first pair is that of the arms themselves."""
    metrics = asked.metrics
    sample = Draws.draw(asked, [[pair[at].sums for pair in pairs] for at in (0, 1)], seed=seed, replicates=replicates)
    answers = [(pair.against.measured.answers, pair.arm.measured.answers) for pair in pairs]
    changes = None if tokens.differ else mean_changes(asked.items, answers)
    has_many = len(asked.items) >= MANY_ITEMS
    searched = each(partial(_searched, asked, sample.mean), _attributes(asked, sample.mean), in_threads=has_many)
    plain: list[Contrast] = []
    worst: list[list[Contrast]] = [[] for _ in searched]
    for metric in range(len(metrics)):
        slices = sample.slices(metric)
        plain += each(lambda slice_: _row(task, arm, against, sample, slice_, changes), slices.all, in_threads=has_many)
        for rows, attribute in zip(worst, searched, strict=True):
            rows += _worst(task, arm, metrics[metric], metric, slices.groups, attribute)
        del slices  # before the next metric's take its memory
    rows = without_invalid(without_per_token([*plain, *chain(*worst)], metrics, tokens), metrics)
    return [replace(row, compares=compares, against=against) for row in adjust_families(rows, correction)]


class _Attribute(NamedTuple):
    """An attribute of several groups, with the spread of the arm's effects over them and its p, by metric."""

    name: str
    groups: set[str]
    spread: Array
    p: Array


def _attributes(asked: Asked, sample: Sample) -> list[str]:
    """Return the attributes whose worst groups are reported: those with several. Their labels are shuffled.

    At a million items that takes so long that it must not be in a thread, which no signal interrupts.
    """
    names = [name for name, groups in sample.layout.attributes.items() if len(groups) >= 2]
    for name in names:
        asked.labels(name, sample.seed).draw()
    return names


def _searched(asked: Asked, sample: Sample, attribute: str) -> _Attribute:
    """Return the spread of the arm's effects over the groups of an attribute."""
    labels = asked.labels(attribute, sample.seed)
    groups = {sample.layout.names[position] for position in sample.layout.attributes[attribute]}
    return _Attribute(attribute, groups, *spread_test(sample.metrics, sample.arms, sample.used, labels))


def _worst(
    task: str, arm: str, metric: Metric, number: int, slices: Sequence[Slice], attribute: _Attribute
) -> Iterator[Contrast]:
    """Yield the worst group of an attribute, for a metric that is reported for two or more."""
    groups = tuple(slice_ for slice_ in slices if slice_.group in attribute.groups and slice_.seen)
    if len(groups) >= 2 and metric.interval == "bootstrap":
        searched = Searched(attribute.name, groups, attribute.spread[number], attribute.p[number])
        yield worst_row(task, arm, metric.name, searched)


def _row(task: str, arm: str, against: str, drawn: Draws, slice_: Slice, changes: Array | None) -> Contrast:
    """Return the row of a slice; its options are the means of `changes` [items, 3] if its metric counts decisions."""
    dense, value = (None if np.isnan(number) or not slice_.n else float(number) for number in slice_.observed)
    sample = drawn.mean
    pairs = [[sums[slice_.metric] for sums in each.arms] for each in drawn.samples]
    flips = Flips() if slice_.is_derived else middle_flips([count_flips(a, b, slice_.rows) for a, b in pairs])
    decides = sample.metrics[slice_.metric].flip_key is not None and not slice_.is_derived
    row = Contrast(
        arm=arm,
        task=task,
        metric=slice_.name,
        group=slice_.group,
        dense=dense,
        value=value,
        n=slice_.n,
        n_unscored=slice_.n_unscored,
        flips=flips,
        better=slice_.better,
        verdict=UNDEFINED,
        clusters=slice_.clusters,
        options=mean_change(changes, slice_.rows) if decides else None,
    )
    if dense is None or value is None:
        missing = f"{against} and arm" if dense is None and value is None else against if dense is None else "arm"
        return replace(row, reason=slice_.why_undefined() + (f" ({missing})" if slice_.n else ""))
    changed = (flips.up or 0) + (flips.down or 0)
    tested = replace(
        _tested(row, slice_, float(difference(slice_.observed))),
        effect=_effect(sample, slice_, dense, value),
        caution=cautions(slice_, rare=changed if slice_.kind == "rate" and changed < FEW_FLIPS else None),
    )
    return _with_draws(tested, slice_) if slice_.draws else tested


def _with_draws(row: Contrast, slice_: Slice) -> Contrast:
    """Return the row with what its draws say, and a caution if it is not clear although single draws would be."""
    alone = [_tested(row, draw, float(difference(draw.observed))).verdict for draw in slice_.draws]
    texts = [row.caution, clear_alone(alone) if row.verdict in UNCLEAR else ""]
    return replace(
        row,
        draws=draw_spread(slice_, alone),
        caution="; ".join(text for text in texts if text) or None,
    )


def _tested(row: Contrast, slice_: Slice, change: float) -> Contrast:
    """Return the row with its difference, verdict and, where they exist, its interval, p and detectable difference."""
    row_intervals, tested = uncertainty(slice_), test(slice_)
    if isinstance(row_intervals, str):
        return replace(row, difference=change, verdict=INCONCLUSIVE, reason=tested.untestable or row_intervals)
    interval, interval90 = row_intervals.interval(0.95), row_intervals.interval(0.90)
    distance = distance_interval(slice_, interval) if slice_.better == "zero" else None
    word = verdict(slice_.better, change, interval, tested.p, distance)
    return replace(
        row,
        difference=change,
        intervals=Intervals(at95=interval, at90=interval90, method=row_intervals.method),
        p=None if tested.p is None else PValue(value=tested.p, method=tested.method),
        mde=None if tested.untestable else _detectable(interval, slice_),
        verdict=INCONCLUSIVE if tested.untestable else word,
        reason=tested.untestable,
    )


def _detectable(interval: Interval, slice_: Slice) -> float | None:
    """Return the smallest detectable difference, or None if the metric cannot move that far."""
    smallest, largest = detectable(interval, slice_.clusters), possible_move(slice_)
    if slice_.kind == "rate":
        smallest = max(smallest, testable_change(slice_.clusters, slice_.n))
    if slice_.kinds and not slice_.is_derived and not slice_.draws:
        move = detectable_move(slice_)
        if move is None:
            return None
        smallest = max(smallest, move)
    return smallest if largest is None or smallest <= largest else None


def _effect(sample: Sample, slice_: Slice, dense: float, value: float) -> Effect:
    has_zero = sample.metrics[slice_.metric].unit in RATIO_UNITS and slice_.better != "zero"
    ratio = value / dense if has_zero and dense > 0 and value >= 0 else None
    if slice_.kind == "rate":
        return Effect(ratio=ratio, standardized=cohen_h(dense, value), kind="cohen_h")
    if slice_.kind == "mean":
        before, after = (arm[slice_.metric].columns[slice_.rows, 0] for arm in sample.arms)
        return Effect(ratio=ratio, standardized=cohen_d(before, after), kind="cohen_d")
    return Effect(ratio=ratio)
