"""Scatter plots: one metric against how much was removed, against perplexity, or against another metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.records import DENSE
from crushtest.report.arm_view import ArmView
from crushtest.report.figures.figure import SIZE, Figure, Row
from crushtest.report.figures.theme import Theme, series_scale
from crushtest.report.formats import show_range, show_value
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL, DIRECTIONS

if TYPE_CHECKING:
    import altair as alt

MOST_LABELS = 12
LABELLED = "labelled"
LABEL_ROOM = (0.35, 0.09)
"""How far two labels must be apart, in widths or in heights of the plot, so that both can be read."""
BAND = "measurement noise"
NUDGE = 5
"""Pixels between the curves of two families, so that arms of equal compression can be told apart."""


@dataclass(frozen=True)
class Axis:
    """What a quantity is called on an axis, and how its numbers are written."""

    title: str
    unit: str

    def is_logarithmic(self, values: list[float]) -> bool:
        """Return whether these are perplexities that differ by more than fivefold."""
        return self.unit == "perplexity" and min(values) > 0 and max(values) > 5 * min(values)

    def places(self, values: list[float]) -> list[float]:
        """Return where on the axis the values lie, from 0 to 1."""
        shown = [math.log(value) for value in values] if self.is_logarithmic(values) else values
        low, high = min(shown), max(shown)
        return [(value - low) / ((high - low) or 1) for value in shown]

    def settings(self, values: list[float]) -> dict[str, Any]:
        """Return the format of the numbers and the scale, logarithmic if `is_logarithmic`."""
        if self.is_logarithmic(values):
            domain = [min(values) / 1.3, max(values) * 1.3]
            return {"axis": {"format": "~g", "tickCount": 4}, "scale": {"type": "log", "domain": domain, "nice": False}}
        form = {"rate": ".0%"}.get(self.unit, "~g")
        return {"axis": {"format": form, "tickCount": 5}, "scale": {"zero": False, "padding": 12}}


COMPRESSION = Axis("bits removed from the compressed layers, of 16 per weight", "rate")


def metric_axis(task: TaskView, metric: str) -> Axis:
    """Return a metric's axis; the direction that is better is part of its title."""
    better = {each.name: each.better for each in task.metrics}[metric]
    return Axis(f"{task.label(metric).text} ({DIRECTIONS[better]})", task.unit(metric))


def against_compression(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the headline of a task against the share of the compressed layers' bits that was removed."""
    metric = task.headline.name
    places: dict[str, Place] = {arm.name: (arm.ratio, None, None) for arm in study.arms}
    return _scatter(study, task, "compression", "Against compression", metric, places, COMPRESSION)


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
    return _scatter(study, task, "perplexity", "Against perplexity", task.headline.name, places, axis)


def against_other_side(study: StudyView, task: TaskView) -> Figure | None:
    """Plot one variety of a language against the other, if a task measures both on the same sentences."""
    pair = [metric.name for metric in task.metrics if metric.side is not None]
    if len(pair) < 2:
        return None
    places = {arm.name: value_of(study, arm, task, pair[1]) for arm in study.arms}
    return _scatter(study, task, "sides", "One variety against the other", pair[0], places, metric_axis(task, pair[1]))


Place = tuple[float | None, float | None, float | None]
"""A value with the ends of its interval."""


def value_of(study: StudyView, arm: ArmView, task: TaskView, metric: str) -> Place:
    estimate = study.estimate(arm.name, task.name, metric)
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def _scatter(
    study: StudyView, task: TaskView, key: str, title: str, metric: str, places: dict[str, Place], x: Axis
) -> Figure | None:
    y = metric_axis(task, metric)
    points = points_of(study, task, metric, places)
    if all(point["family"] == DENSE for point in points):
        return None
    points = with_labels(points, x, y)
    band = _band(study, task, metric, points)
    families = dict.fromkeys(point["family"] for point in points)
    missing = not_shown(study, task, points)
    return Figure(
        f"{task.number}-{key}",
        task,
        title,
        f"{y.title}, against {x.title}. One mark per variant, with its 95% interval.{missing}",
        f"Bars: 95% intervals. Dashed: dense.{' Grey: measurement noise of dense.' if band else ''}{missing}",
        ("variant", x.title, "95% interval", y.title, "95% interval"),
        tuple(as_text(point, x, y) for point in points),
        {
            **{family: [point for point in points if point["family"] == family] for family in families},
            LABELLED: [point for point in points if point["label"] != "none"],
            **({BAND: band} if band else {}),
        },
        lambda theme: _draw(theme, points, x, y, band),
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


def with_labels(points: list[Row], x: Axis, y: Axis) -> list[Row]:
    """Return the points, each with the side its label stands on, `left` or `right`.

    It is `none` for dense, among many points, and if the label would cover that of a point before it.
    """
    across, up = x.places([point["x"] for point in points]), y.places([point["y"] for point in points])
    room_across, room_up = LABEL_ROOM
    labelled: list[int] = []
    for number, point in enumerate(points):
        near = [
            other
            for other in labelled
            if abs(across[number] - across[other]) < room_across and abs(up[number] - up[other]) < room_up
        ]
        if point["family"] != DENSE and not near and len(points) <= MOST_LABELS:
            labelled.append(number)
    sides = {number: "left" if across[number] > 0.5 else "right" for number in labelled}
    return [point | {"label": sides.get(number, "none")} for number, point in enumerate(points)]


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


def _draw(theme: Theme, points: list[Row], x: Axis, y: Axis, band: list[Row]) -> alt.TopLevelMixin:
    import altair as alt

    families = list(dict.fromkeys(point["family"] for point in points if point["family"] != DENSE))
    channels = channels_of(theme, points, families, x, y)
    layers = dense_layers(theme, channels)
    for place, family in enumerate(families):
        shift = NUDGE * (place - (len(families) - 1) / 2)
        layers += family_layers(family, [point for point in points if point["family"] == family], channels, shift)
    layers += labels_of(theme, channels)
    layers[0] = layers[0].add_params(alt.selection_point(name="pick", fields=["family"], bind="legend"))
    if band:
        shaded = alt.Chart(alt.NamedData(BAND)).mark_rect(color=theme.hatch, opacity=0.5)
        layers.insert(0, shaded.encode(channels["band"], alt.Y2("high:Q")))
    return alt.layer(*layers).properties(**SIZE)


def labels_of(theme: Theme, channels: dict[str, Any]) -> Iterator[alt.Chart]:
    """Yield the labels of the points, on the side away from the nearer edge of the plot."""
    import altair as alt

    base = alt.Chart(alt.NamedData(LABELLED)).encode(channels["x"], channels["y"], alt.Text("mark:N"))
    style: dict[str, Any] = {"dy": -8, "fontSize": 10, "color": theme.muted, "limit": 110}
    yield base.transform_filter("datum.label == 'right'").mark_text(align="left", dx=9, **style)
    yield base.transform_filter("datum.label == 'left'").mark_text(align="right", dx=-9, **style)


def channels_of(theme: Theme, points: list[Row], families: list[str], x: Axis, y: Axis) -> dict[str, Any]:
    import altair as alt

    ends = {
        axis: [value for point in points for end in ("", "_low", "_high") if (value := point[axis + end]) is not None]
        for axis in "xy"
    }
    colours, shapes = series_scale(theme, families)
    tips = [alt.Tooltip("arm:N", title="variant"), alt.Tooltip("x:Q", title=x.title), alt.Tooltip("y:Q", title=y.title)]
    return {
        "x": alt.X("x:Q", title=x.title, **x.settings(ends["x"])),
        "y": alt.Y("y:Q", title=y.title, **y.settings(ends["y"])),
        "band": alt.Y("low:Q", title=y.title, **y.settings(ends["y"])),
        "colour": alt.Color("family:N", title=None, scale=colours),
        "shape": alt.Shape("family:N", title=None, scale=shapes),
        "fade": alt.OpacityValue(0.15, condition={"param": "pick", "value": 1}),
        "tips": [*tips, alt.Tooltip("y_low:Q", title="95% low"), alt.Tooltip("y_high:Q", title="95% high")],
    }


def dense_layers(theme: Theme, channels: dict[str, Any]) -> list[alt.Chart]:
    """Return dashed lines through dense, and its point."""
    import altair as alt

    base = alt.Chart(alt.NamedData(DENSE))
    line = base.mark_rule(strokeDash=[4, 4], color=theme.muted, strokeWidth=1)
    dot = base.mark_point(shape="circle", size=60, filled=True, color=theme.ink, opacity=1)
    return [
        line.encode(channels["y"]),
        line.encode(channels["x"]),
        dot.encode(channels["x"], channels["y"], tooltip=channels["tips"]),
    ]


def family_layers(family: str, points: list[Row], channels: dict[str, Any], shift: float) -> list[alt.Chart]:
    """Return the curves, intervals and points of the arms that share their methods."""
    import altair as alt

    base = alt.Chart(alt.NamedData(family)).encode(channels["colour"], channels["fade"])
    upright = base.mark_rule(xOffset=shift, x2Offset=shift, strokeWidth=1.5)
    layers = [upright.encode(channels["x"], alt.Y("y_low:Q"), alt.Y2("y_high:Q"))]
    if any(point["x_low"] is not None for point in points):
        level = base.mark_rule(strokeWidth=1.5)
        layers.append(level.encode(alt.X("x_low:Q"), channels["y"], alt.X2("x_high:Q")))
    if len({point["curve"] for point in points}) < len(points):
        curve = base.mark_line(xOffset=shift, strokeWidth=1.5)
        layers.append(curve.encode(channels["x"], channels["y"], alt.Detail("curve:N")))
    dots = base.mark_point(xOffset=shift, filled=True, size=64)
    layers.append(dots.encode(channels["x"], channels["y"], channels["shape"], tooltip=channels["tips"]))
    return layers
