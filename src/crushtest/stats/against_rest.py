"""A group against the rest: its value minus that of the others of its attribute, for groups that may overlap.

Every group of every attribute makes a metric of its own, with the sums of the group and those of the others side by
side, so that both are resampled together. They are drawn from items without groups: that keeps the arrays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crushtest.metrics import AGAINST_REST, Array, Metric, about_people, ratio
from crushtest.records import Contrast, Estimate, Item, NoiseBand
from crushtest.stats.contrasts import unadjusted
from crushtest.stats.estimates import REPLICATES, estimate
from crushtest.stats.item_sums import Answers, Scores
from crushtest.stats.multiplicity import Correction, adjust_families
from crushtest.stats.noise import noise_bands

SEPARATOR = "\n"
"""Parts metric and group in a name; in neither of them."""
GROUPS = "\ngroups"
"""Under which an item without groups keeps them, among its facts."""


def estimate_against_rest(
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
    """Rows `<metric>_against_rest` of every group that has a rest, for the metrics that ask for them (`rest`)."""
    made, bare = _against_rest(metrics, items)
    if not made:
        return []
    rows = estimate(task, made, bare, arm, answers, scores, seed=seed, replicates=replicates)
    return [replace(row, metric=_metric_of(row.metric), group=_group_of(row.metric)) for row in rows]


def contrast_against_rest(
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
    """The same rows, against dense."""
    made, bare = _against_rest(metrics, items)
    if not made:
        return []
    both = ((dense_answers, dense_scores), (answers, scores))
    rows = unadjusted(task, made, bare, arm, *both, seed=seed, replicates=replicates)
    named = [replace(row, metric=_metric_of(row.metric), group=_group_of(row.metric)) for row in rows]
    return [replace(row, compares=compares) for row in adjust_families(named, correction)]


def bands_against_rest(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    dense: tuple[Answers, Scores],
    repeats: Sequence[tuple[Answers, Scores]],
) -> list[NoiseBand]:
    """The noise bands of the same rows."""
    made, bare = _against_rest(metrics, items)
    bands = noise_bands(task, made, bare, dense, repeats)
    return [replace(band, metric=_metric_of(band.metric), group=_group_of(band.metric)) for band in bands]


def _against_rest(metrics: Sequence[Metric], items: Sequence[Item]) -> tuple[list[Metric], list[Item]]:
    groups = sorted({group for item in items for group in item.groups if about_people(group)})
    made = [_metric(metric, group) for metric in metrics if metric.rest for group in groups if _has_rest(group, groups)]
    return made, [replace(item, groups=(), facts={**item.facts, GROUPS: item.groups}) for item in items]


def _has_rest(group: str, groups: Sequence[str]) -> bool:
    attribute = group.partition("=")[0]
    return sum(other.partition("=")[0] == attribute for other in groups) > 1


def _metric(metric: Metric, group: str) -> Metric:
    """Totals and items of the group, then of the others of its attribute; their ratios subtracted."""
    attribute = f"{group.partition('=')[0]}="

    def applies(item: Item) -> bool:
        return metric.applies(item) and any(name.startswith(attribute) for name in _groups(item))

    def measure(item: Item, answer: Any, score: Any) -> tuple[float, ...]:
        total, count = metric.measure(item, answer, score)
        return (total, count, 0.0, 0.0) if group in _groups(item) else (0.0, 0.0, total, count)

    return replace(
        metric,
        name=f"{metric.name}{SEPARATOR}{group}",
        columns=("mine", "of_mine", "others", "of_others"),
        measure=measure,
        formula=_difference,
        better="neither" if metric.better == "neither" else "zero",
        bounds=_span(metric.bounds),
        applies=applies,
        state=None,
        outcome=None,
        gap=False,
        rest=False,
        undefined="the group or the others of its attribute have no item with a number",
    )


def _span(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])


def _groups(item: Item) -> tuple[str, ...]:
    groups: Any = item.facts[GROUPS]
    return tuple(groups)


def _difference(mine: Array, of_mine: Array, others: Array, of_others: Array) -> Array:
    return ratio(mine, of_mine) - ratio(others, of_others)


def _metric_of(name: str) -> str:
    return name.partition(SEPARATOR)[0] + AGAINST_REST


def _group_of(name: str) -> str:
    return name.partition(SEPARATOR)[2]
