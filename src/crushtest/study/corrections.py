"""People's labels on a scorer's differences: what is left of them, pooled and in each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crushtest.metrics import ALL
from crushtest.records import DENSE
from crushtest.results import Contrast, Interval, Intervals
from crushtest.stats.labelled import Corrected, Labelled, correct
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED, WITHIN_NOISE, verdict
from crushtest.study.folder import StudyFolder
from crushtest.study.labels import Labelling, labellings
from crushtest.study.plan import Plan
from crushtest.study.threshold_metrics import Sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_OF_A_GROUP = 5
"""Labelled pairs that a group needs for a corrected difference of its own, unless it holds fewer to label."""


@dataclass(frozen=True)
class Correction:
    """What labels say of one measure of an arm in one group. `result` in words: why there is no corrected difference.

    unsure   labelled pairs of which people were unsure; they are left out
    """

    arm: str
    task: str
    scorer: str
    metric: str
    result: Corrected | str
    unsure: int
    group: str = ALL


def read_corrections(folder: StudyFolder, plan: Plan) -> tuple[Correction, ...]:
    """Return the corrected differences of every arm, task and scorer that has labels, from the study's files.

    Labels of other answers than the study holds now correct nothing, and say so. Raises StoreError if they are damaged.
    """
    labelled = (each for each in labellings(folder, plan.tasks, [arm.name for arm in plan.arms]) if each.is_labelled)
    return tuple(correction for each in labelled for correction in _corrections(each, plan.seed))


def _corrections(labelling: Labelling, seed: int) -> Iterator[Correction]:
    stale = labelling.why_stale()
    groups = dict.fromkeys(group for pair in labelling.pairs for group in pair.item.groups)
    for metric, sides in labelling.sides.items():
        is_reported = next(each.groups for each in labelling.planned.task.metrics if each.name == metric)

        def correction(result: Corrected | str, unsure: int, group: str, metric: str = metric) -> Correction:
            return Correction(labelling.arm, labelling.planned.name, labelling.scorer, metric, result, unsure, group)

        if stale:
            yield correction(stale, 0, ALL)
            continue
        measured = _measure(labelling, sides)
        yield correction(correct(measured.pairs, seed=seed), int(measured.unsure.sum()), ALL)
        for group in filter(is_reported, groups):
            within = np.array([group in names for names in measured.groups])
            if within.any():
                result = _of_group(_within(measured.pairs, within), seed)
                yield correction(result, int(measured.unsure[within].sum()), group)


def _of_group(pairs: Labelled, seed: int) -> Corrected | str:
    """Correct a group's difference if it has `FEWEST_OF_A_GROUP` labelled pairs, or all that labels can change."""
    is_open: NDArray[np.bool_] = np.any(pairs.open, axis=1)
    labelled = int((is_open & (pairs.labels[:, 0] >= 0)).sum())
    few = f"too few labels, {labelled} of {len(is_open)} pairs"
    if labelled < min(FEWEST_OF_A_GROUP, int(is_open.sum())):
        return few
    result = correct(pairs, seed=seed)
    return f"{few}: {result}" if isinstance(result, str) else result


def _within(pairs: Labelled, rows: NDArray[np.bool_]) -> Labelled:
    """Return these rows of the pairs alone."""
    return Labelled(**{each.name: getattr(pairs, each.name)[rows] for each in fields(pairs)})


class _Measured(NamedTuple):
    """A metric's pairs, the groups of each, and whether people were unsure of it."""

    pairs: Labelled
    groups: list[tuple[str, ...]]
    unsure: NDArray[np.bool_]


def _measure(labelling: Labelling, outcomes: Mapping[str, tuple[Sides, Sides]]) -> _Measured:
    """Return what scorer and people say of a metric's items."""
    labels = {row["item"]: row for row in labelling.read_labels().iter_rows(named=True)}
    measured = [pair for pair in labelling.pairs if pair.item.id in outcomes]
    scored, people, can_change, inclusion, unsure = [], [], [], [], []
    for pair in measured:
        sides = outcomes[pair.item.id]
        counted = map(labelling.is_counted, pair.scores)
        scored.append([_count(side, is_counted) for side, is_counted in zip(sides, counted, strict=True)])
        can_change.append([side.differ for side in sides])
        row = labels.get(pair.item.id)
        if row is None or row["dense"] is None or row["arm"] is None:
            unsure.append(row is not None)
            people.append([np.nan, np.nan])
            inclusion.append(np.nan)
        else:
            unsure.append(False)
            people.append([_count(side, row[name]) for side, name in zip(sides, ("dense", "arm"), strict=True)])
            inclusion.append(row["inclusion"])
    pairs = Labelled(
        scored=np.array(scored),
        labels=np.array(people),
        open=np.array(can_change),
        inclusion=np.array(inclusion),
        clusters=np.unique([pair.item.unit for pair in measured], return_inverse=True)[1],
    )
    return _Measured(pairs, [pair.item.groups for pair in measured], np.array(unsure))


def _count(sides: Sides, is_above: bool) -> float:
    return sides.above if is_above else sides.below


Key = tuple[str, str, str, str]
"""Arm, task, metric, group."""


def detectable_with_labels(rows: Iterable[Contrast], corrections: Iterable[Correction]) -> Iterator[Contrast]:
    """Yield the contrasts; in corrected ones `mde` counts the scorer's error, which never lowers it."""
    known = _by_row(corrections)
    for row in rows:
        result = known.get(key_of(row)) if row.against == DENSE else None
        if row.mde is None or result is None:
            yield row
        else:
            smallest = max(row.mde, result.mde)
            yield replace(row, mde=smallest if smallest <= 1 else None)


def corrected_contrasts(rows: Iterable[Contrast], corrections: Iterable[Correction]) -> dict[Key, Contrast]:
    """Return the contrasts with dense that labels correct, as people would see them.

    Difference, intervals and verdict are the corrected ones, without a p; the values remain the scorer's. Contrasts
    that were not tested are left out, and those of an arm in several draws or stopped early: labels know of neither.
    """
    known = _by_row(corrections)
    return {
        key_of(row): _corrected(row, known[key_of(row)])
        for row in rows
        if row.against == DENSE and row.verdict not in (INCONCLUSIVE, UNDEFINED) and key_of(row) in known
        if row.look is None and row.draws is None
    }


def _corrected(row: Contrast, result: Corrected) -> Contrast:
    interval = Interval(result.low, result.high)
    seen = verdict(row.better, result.difference, interval, None, None)
    return replace(
        row,
        difference=result.difference,
        intervals=Intervals(at95=interval, at90=result.at90, method=f"{result.labelled} pairs labelled by people"),
        p=None,
        verdict=row.verdict if row.verdict == WITHIN_NOISE else seen,
    )


def _by_row(corrections: Iterable[Correction]) -> dict[Key, Corrected]:
    return {
        (each.arm, each.task, each.metric, each.group): each.result
        for each in corrections
        if isinstance(each.result, Corrected)
    }


def key_of(row: Contrast) -> Key:
    """Return what a contrast with dense is known by."""
    return row.arm, row.task, row.metric, row.group
