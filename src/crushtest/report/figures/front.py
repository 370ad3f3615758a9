"""The front: every arm by the size of its model, against the headline of each dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from crushtest.records import DENSE, Better
from crushtest.report.arm_view import ArmView
from crushtest.report.figures.figure import Figure
from crushtest.report.figures.marks import BAND, DOMINATED, UNJUDGED, Axis
from crushtest.report.figures.scatter import MARKED, Place, scatter
from crushtest.report.formats import show_bytes
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.results import Contrast
from crushtest.stats.fluency import LESS_FLUENT
from crushtest.stats.joint_claims import UNTESTED
from crushtest.stats.verdicts import SPURIOUS_IMPROVEMENT

SIZE = Axis("size of the whole model, of dense's", "rate")
SIZES = (SIZE.title, "bytes, ideal storage", "bits per weight of the compressed layers")


def front(study: StudyView) -> Iterator[Figure]:
    """Yield a figure per dimension: its first task with a headline that has a better direction."""
    sizes = {arm.name: arm.share_of_dense for arm in study.arms}
    if sum(size is not None for size in sizes.values()) < 2:
        return
    for dimension, tasks in study.dimensions.items():
        for task in tasks:
            figure = _against_size(study, task, dimension, sizes)
            if figure is not None:
                yield figure
                break


def dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (size, cost) whether another one is at most as large and as costly, and less so in one of them.

    >>> dominated([(1.0, 5.0), (0.5, 5.0), (0.4, 9.0), (0.5, 9.0)])
    [True, False, False, True]
    """
    return [
        any(size <= own and cost <= paid and (size, cost) != (own, paid) for size, cost in points)
        for own, paid in points
    ]


def cost(value: float, better: Better) -> float:
    """Return a metric's value as a number of which less is better."""
    return {"lower": value, "higher": -value, "zero": abs(value), "neither": 0.0}[better]


def _against_size(study: StudyView, task: TaskView, dimension: str, sizes: dict[str, float | None]) -> Figure | None:
    # A rate of declining alone would praise a model that declines everything.
    apart = (metric for metric in task.metrics if (metric.role, metric.better) == ("discrimination", "higher"))
    headline = next(apart, task.headline)
    if headline.better == "neither":
        return None
    places: dict[str, Place] = {arm: (size, None, None) for arm, size in sizes.items()}
    known = {}
    families = {}
    for arm in study.others:
        estimate, size = study.estimate(arm.name, task.name, headline.name), sizes[arm.name]
        if not _is_judged(study.contrast(arm.name, task.name, headline.name)):
            families[arm.name] = UNJUDGED
        elif size is not None and estimate is not None and estimate.value is not None:
            known[arm.name] = (size, cost(estimate.value, headline.better))
    families |= {arm: DOMINATED for arm, beaten in zip(known, dominated(list(known.values())), strict=True) if beaten}
    about = replace(task, headline=headline)
    figure = scatter(study, about, "front", dimension.capitalize(), headline.name, places, SIZE, families=families)
    if figure is None:
        return None
    where = name(task.name)
    by_name = {name(arm.name): _sizes(study, arm) for arm in study.arms}
    return replace(
        figure,
        caption=f"{where}: {figure.caption}",
        note=f"{about.heading} in {where}.{' Grey: measurement noise of dense.' if figure.data.get(BAND) else ''}",
        columns=(figure.columns[0], *SIZES, *figure.columns[3:]),
        rows=tuple((row[0], row[1], *by_name[row[0]], *row[3:]) for row in figure.rows),
    )


def reading(figures: Sequence[Figure]) -> str:
    """Return how to read the figures of the front, once for all of them."""
    families = {row["family"] for figure in figures for rows in figure.data.values() for row in rows if "family" in row}
    return (
        f"Bars: 95% intervals. Dashed: dense.{''.join(text for family, text in MARKED.items() if family in families)}"
    )


def _sizes(study: StudyView, arm: ArmView) -> tuple[str, str]:
    """Return the bytes of a whole model and the bits per weight of its compressed layers; 16 for dense, as counted."""
    if arm.name != DENSE:
        size, bits = arm.totals.get("compressed_model_size_bytes"), arm.totals.get("bits_per_weight")
    else:
        recorded = (each.totals.get("dense_model_size_bytes") for each in study.others)
        size, bits = next(filter(None, recorded), None), 16.0
    return show_bytes(size) if size else "not recorded", "not recorded" if bits is None else f"{bits:.4g}"


def _is_judged(row: Contrast | None) -> bool:
    """Return whether a change from dense was tested, on every item, and damage alone does not explain it."""
    if row is None or row.verdict in (*UNTESTED, SPURIOUS_IMPROVEMENT):
        return False
    return row.look is None and LESS_FLUENT not in (row.caution or "")
