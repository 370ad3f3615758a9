"""Scatter plots: one metric against how much was removed, against perplexity, or against another metric."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crushtest.records import DENSE
from crushtest.report.arm_view import ArmView
from crushtest.report.figures.figure import Figure, Row
from crushtest.report.figures.marks import BAND, DOMINATED, LABELLED, UNJUDGED, Axis, draw_points, with_labels
from crushtest.report.formats import show_range, show_value
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL, DIRECTIONS

COMPRESSION = Axis("bits removed from the compressed layers, of 16 per weight", "rate")

MARKED = {
    DOMINATED: " Pale: another variant is no larger and no worse.",
    UNJUDGED: " Hollow: the change from dense cannot be tested, or looks better only because the model got worse. "
    "Such a variant is on no front, and pales no other.",
}
"""Families of their own -> what a reader must know of them."""


def metric_axis(task: TaskView, metric: str) -> Axis:
    """Return a metric's axis; the direction that is better is part of its title."""
    better = {each.name: each.better for each in task.metrics}[metric]
    return Axis(f"{task.label(metric).text} ({DIRECTIONS[better]})", task.unit(metric))


def against_compression(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the headline of a task against the share of the compressed layers' bits that was removed."""
    metric = task.headline.name
    places: dict[str, Place] = {arm.name: (arm.ratio, None, None) for arm in study.arms}
    return scatter(study, task, "compression", "Against compression", metric, places, COMPRESSION)


def against_perplexity(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the headline of a task against perplexity, if the study measured that on another task."""
    modelling = study.dimensions.get("language modelling", ())
    perplexities = (
        (other, metric.name)
        for other in modelling
        if other is not task
        for metric in other.metrics
        if (metric.role, metric.unit) == ("ability", "perplexity")
    )
    other, perplexity = next(perplexities, (task, None))
    if perplexity is None:
        return None
    places = {arm.name: value_of(study, arm, other, perplexity) for arm in study.arms}
    axis = metric_axis(other, perplexity)
    return scatter(study, task, "perplexity", "Against perplexity", task.headline.name, places, axis)


def against_other_side(study: StudyView, task: TaskView) -> Figure | None:
    """Plot one variety of a language against the other, if a task measures both on the same sentences."""
    pair = [metric.name for metric in task.metrics if metric.side is not None]
    if len(pair) < 2:
        return None
    places = {arm.name: value_of(study, arm, task, pair[1]) for arm in study.arms}
    return scatter(study, task, "sides", "One variety against the other", pair[0], places, metric_axis(task, pair[1]))


Place = tuple[float | None, float | None, float | None]
"""A value with the ends of its interval."""


def value_of(study: StudyView, arm: ArmView, task: TaskView, metric: str) -> Place:
    estimate = study.estimate(arm.name, task.name, metric)
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def scatter(
    study: StudyView,
    task: TaskView,
    key: str,
    title: str,
    metric: str,
    places: dict[str, Place],
    x: Axis,
    *,
    families: Mapping[str, str] | None = None,
) -> Figure | None:
    """Return the figure of a metric against what `places` gives for each arm; None if only dense has both numbers.

    families  arms that are drawn in another family than their methods', such as `DOMINATED`
    """
    drawn_as = {name(arm): family for arm, family in (families or {}).items()}
    y = metric_axis(task, metric)
    points = [
        point | ({"family": drawn_as[point["arm"]]} if point["arm"] in drawn_as else {})
        for point in points_of(study, task, metric, places)
    ]
    if all(point["family"] == DENSE for point in points):
        return None
    points = with_labels(points, x, y)
    band = _band(study, task, metric, points)
    by_family = {
        family: [point for point in points if point["family"] == family]
        for family in dict.fromkeys(point["family"] for point in points)
    }
    words = "".join(text for family, text in MARKED.items() if family in by_family)
    missing = not_shown(study, task, points)
    return Figure(
        f"{task.number}-{key}",
        task,
        title,
        f"{y.title}, against {x.title}. One mark per variant, with its 95% interval.{words}{missing}",
        f"Bars: 95% intervals. Dashed: dense.{' Grey: measurement noise of dense.' if band else ''}{words}{missing}",
        ("variant", x.title, "95% interval", y.title, "95% interval"),
        tuple(as_text(point, x, y) for point in points),
        {
            **by_family,
            LABELLED: [point for point in points if point["label"] != "none"],
            **({BAND: band} if band else {}),
        },
        lambda theme: draw_points(theme, points, x, y, band),
    )


def _band(study: StudyView, task: TaskView, metric: str, points: list[Row]) -> list[Row]:
    """Return where dense may lie when it is measured again; empty if it was not, or did not move."""
    widths = {(band.task, band.metric, band.group): band.half_width for band in study.bands if band.arm == DENSE}
    width = widths.get((task.name, metric, ALL))
    dense = [point["y"] for point in points if point["family"] == DENSE]
    return [{"low": y - width, "high": y + width} for y in dense] if width else []


def _is_barred(study: StudyView, task: TaskView, arm: ArmView) -> bool:
    """Return whether an arm was measured in a task and not compared with dense, because two engines disagree, say."""
    pair = (arm.name, task.name)
    return arm.name != DENSE and pair in study.measured and pair not in study.compared


def not_shown(study: StudyView, task: TaskView, points: list[Row]) -> str:
    """Name the arms that have no mark, and say why."""
    left = [arm for arm in study.arms if name(arm.name) not in {point["arm"] for point in points}]
    barred = [name(arm.name) for arm in left if _is_barred(study, task, arm)]
    others = [name(arm.name) for arm in left if not _is_barred(study, task, arm)]
    reasons = {"they have no number": others, "they are not compared with dense": barred}
    return "".join(f" Not shown, because {why}: {', '.join(names)}." for why, names in reasons.items() if names)


def points_of(study: StudyView, task: TaskView, metric: str, places: dict[str, Place]) -> list[Row]:
    """Return a row for dense and each arm compared with it that has both numbers."""
    rows = []
    for arm in study.arms:
        if _is_barred(study, task, arm):
            continue
        x, x_low, x_high = places[arm.name]
        y, y_low, y_high = value_of(study, arm, task, metric)
        if x is not None and y is not None:
            row = {"arm": name(arm.name), "family": name(arm.family), "curve": _curve(arm), "mark": _mark(arm)}
            rows.append({**row, "x": x, "x_low": x_low, "x_high": x_high, "y": y, "y_low": y_low, "y_high": y_high})
    return rows


def _curve(arm: ArmView) -> str:
    """Return what arms share that differ only in how hard they were compressed; a line joins them."""
    return name(re.sub(r"(sparsity|bits)=[^,+]*", r"\1", arm.plan.recipe.text if arm.plan.recipe else arm.name))


def _mark(arm: ArmView) -> str:
    """Return the label of a point: the values of its recipe's options, or the arm's own name."""
    if arm.plan.recipe is None or arm.name != arm.plan.recipe.text:
        return name(arm.name)
    return name(", ".join(piece.rpartition("=")[2] for piece in re.split("[,+]", arm.name) if "=" in piece))


def as_text(point: Row, x: Axis, y: Axis) -> tuple[str, ...]:
    ends = [(show_range(point[f"{a}_low"], point[f"{a}_high"], u.unit) or "none") for a, u in (("x", x), ("y", y))]
    return (point["arm"], show_value(point["x"], x.unit), ends[0], show_value(point["y"], y.unit), ends[1])
