"""A scorer's differences corrected by people's labels, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from crushtest.metrics import ALL
from crushtest.records import DENSE
from crushtest.report.formats import show_difference, show_interval, show_range, show_value, unit_of_difference
from crushtest.results import Contrast
from crushtest.stats.labelled import Corrected, Labelled, ScorerError, Share, correct
from crushtest.study.folder import StudyFolder
from crushtest.study.labels import Labelling, labellings
from crushtest.study.plan import Plan
from crushtest.study.threshold_metrics import Sides

UNIT = "rate"


@dataclass(frozen=True)
class Correction:
    """What labels say of one measure of an arm. `result` in words: why there is no corrected difference.

    unsure   labelled pairs of which people were unsure; they are left out
    """

    arm: str
    task: str
    scorer: str
    metric: str
    result: Corrected | str
    unsure: int


def read_corrections(folder: StudyFolder, plan: Plan) -> tuple[Correction, ...]:
    """Return the corrected differences of every arm, task and scorer that has labels, from the study's files.

    Labels of other answers than the study holds now correct nothing, and say so. Raises StoreError if they are damaged.
    """
    labelled = (each for each in labellings(folder, plan.tasks, [arm.name for arm in plan.arms]) if each.is_labelled)
    return tuple(correction for each in labelled for correction in _corrections(each, plan.seed))


def _corrections(labelling: Labelling, seed: int) -> Iterator[Correction]:
    stale = labelling.why_stale()
    for metric, sides in labelling.sides.items():
        pairs, unsure = (stale, 0) if stale else _measure(labelling, sides)
        result = pairs if isinstance(pairs, str) else correct(pairs, seed=seed)
        yield Correction(labelling.arm, labelling.planned.name, labelling.scorer, metric, result, unsure)


def _measure(labelling: Labelling, outcomes: Mapping[str, tuple[Sides, Sides]]) -> tuple[Labelled, int]:
    """Return what scorer and people say of a metric's items, and how many pairs people were unsure of."""
    import numpy as np

    labels = {row["item"]: row for row in labelling.read_labels().iter_rows(named=True)}
    scored, people, can_change, inclusion, clusters = [], [], [], [], []
    unsure = 0
    for pair in labelling.pairs:
        sides = outcomes.get(pair.item.id)
        if sides is None:
            continue
        counted = map(labelling.is_counted, pair.scores)
        scored.append([_count(side, is_counted) for side, is_counted in zip(sides, counted, strict=True)])
        clusters.append(pair.item.cluster)
        can_change.append([side.differ for side in sides])
        row = labels.get(pair.item.id)
        if row is None or row["dense"] is None or row["arm"] is None:
            unsure += row is not None
            people.append([np.nan, np.nan])
            inclusion.append(np.nan)
        else:
            people.append([_count(side, row[name]) for side, name in zip(sides, ("dense", "arm"), strict=True)])
            inclusion.append(row["inclusion"])
    numbers = np.unique(clusters, return_inverse=True)[1]
    known = Labelled(
        scored=np.array(scored),
        labels=np.array(people),
        open=np.array(can_change),
        inclusion=np.array(inclusion),
        clusters=numbers,
    )
    return known, unsure


def _count(sides: Sides, is_above: bool) -> float:
    return sides.above if is_above else sides.below


def detectable_with_labels(rows: Iterable[Contrast], corrections: Iterable[Correction]) -> Iterator[Contrast]:
    """Yield the contrasts; in corrected ones `mde` counts the scorer's error, which never lowers it."""
    known = {(each.arm, each.task, each.metric): each.result for each in corrections}
    for row in rows:
        result = known.get((row.arm, row.task, row.metric))
        if row.group != ALL or row.mde is None or not isinstance(result, Corrected):
            yield row
        else:
            smallest = max(row.mde, result.mde)
            yield replace(row, mde=smallest if smallest <= 1 else None)


# ---- in words ---------------------------------------------------------------------------------------


def difference_text(correction: Correction) -> str:
    """Return `−0.4 points (−5.2 to +4.4) by 60 labelled pairs of 200`, or why there is none."""
    result = correction.result
    if isinstance(result, str):
        return f"not corrected: {result}"
    interval = show_interval(result.low, result.high, UNIT)
    unsure = f", {correction.unsure} more unsure" if correction.unsure else ""
    return (
        f"{show_difference(result.difference, UNIT)}{unit_of_difference(UNIT)} ({interval}) by {result.labelled} "
        f"labelled pairs of {result.items}{unsure}"
    )


def error_texts(correction: Correction) -> tuple[tuple[str, str, str], ...]:
    """Return, for dense and the arm, its name, what the scorer counts wrongly and what it misses, with intervals."""
    result = correction.result
    if isinstance(result, str):
        return ()
    by_arm: tuple[tuple[str, ScorerError], ...] = ((DENSE, result.dense), (correction.arm, result.arm))
    return tuple((arm, _share(error.false_positive), _share(error.false_negative)) for arm, error in by_arm)


def _share(share: Share) -> str:
    if share.value is None:
        return "none labelled"
    return f"{show_value(share.value, UNIT)} ({show_range(share.low, share.high, UNIT)})"
