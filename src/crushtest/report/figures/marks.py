"""The marks of a scatter plot: points with their intervals, labels, curves, and dashed lines through dense."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crushtest.records import DENSE
from crushtest.report.figures.figure import SIZE, Row
from crushtest.report.figures.theme import Theme, series_scale

if TYPE_CHECKING:
    import altair as alt

MOST_LABELS = 12
LABELLED = "labelled"
LABEL_ROOM = (0.35, 0.09)
"""How far two labels must be apart, in widths or in heights of the plot, so that both can be read."""
MOST_IN_A_ROW = 4
"""Families that a legend has in one row; more than that would be wider than the plot."""
BAND = "measurement noise"
DOMINATED = "dominated"
"""The family, drawn pale, of points that another one beats in both directions."""
UNJUDGED = "not judged"
"""The family, drawn hollow, of points that say nothing on which arm is better."""
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
        form = {"rate": ".0%"}.get(self.unit, ".4~g")
        return {"axis": {"format": form, "tickCount": 5}, "scale": {"zero": False, "padding": 12}}


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


def draw_points(theme: Theme, points: list[Row], x: Axis, y: Axis, band: list[Row]) -> alt.TopLevelMixin:
    import altair as alt

    families = list(dict.fromkeys(point["family"] for point in points if point["family"] != DENSE))
    channels = channels_of(theme, points, families, x, y)
    layers = dense_layers(theme, channels)
    for place, family in enumerate(families):
        shift = NUDGE * (place - (len(families) - 1) / 2)
        layers += family_layers(family, [point for point in points if point["family"] == family], channels, shift)
    layers += labels_of(theme, points, channels)
    layers[0] = layers[0].add_params(alt.selection_point(name="pick", fields=["family"], bind="legend"))
    if band:
        shaded = alt.Chart(alt.NamedData(BAND)).mark_rect(color=theme.hatch, opacity=0.5)
        layers.insert(0, shaded.encode(channels["band"], alt.Y2("high:Q")))
    return alt.layer(*layers).properties(**SIZE)


def labels_of(theme: Theme, points: list[Row], channels: dict[str, Any]) -> Iterator[alt.Chart]:
    """Yield the labels of the points, on the side away from the nearer edge of the plot.

    A side without labels has no layer: scales of an empty layer have no extent, of which the browser complains.
    """
    import altair as alt

    base = alt.Chart(alt.NamedData(LABELLED)).encode(channels["x"], channels["y"], alt.Text("mark:N"))
    style: dict[str, Any] = {"dy": -8, "fontSize": 10, "color": theme.muted, "limit": 110}
    sides: dict[str, tuple[Literal["left", "right"], int]] = {"right": ("left", 9), "left": ("right", -9)}
    for side, (align, shift) in sides.items():
        if any(point["label"] == side for point in points):
            labels = base.transform_filter(f"datum.label == '{side}'")
            yield labels.mark_text(align=align, dx=shift, **style)


def channels_of(theme: Theme, points: list[Row], families: list[str], x: Axis, y: Axis) -> dict[str, Any]:
    import altair as alt

    ends = {
        axis: [value for point in points for end in ("", "_low", "_high") if (value := point[axis + end]) is not None]
        for axis in "xy"
    }
    colours, shapes = series_scale(theme, families)
    if DOMINATED in families:
        colours["range"][families.index(DOMINATED)] = theme.hatch
    if UNJUDGED in families:
        colours["range"][families.index(UNJUDGED)] = theme.muted
    tips = [alt.Tooltip("arm:N", title="variant"), alt.Tooltip("x:Q", title=x.title), alt.Tooltip("y:Q", title=y.title)]
    return {
        "x": alt.X("x:Q", title=x.title, **x.settings(ends["x"])),
        "y": alt.Y("y:Q", title=y.title, **y.settings(ends["y"])),
        "band": alt.Y("low:Q", title=y.title, **y.settings(ends["y"])),
        "colour": alt.Color("family:N", title=None, scale=colours, legend=alt.Legend(columns=_columns(families))),
        "shape": alt.Shape("family:N", title=None, scale=shapes),
        "fade": alt.OpacityValue(0.15, condition={"param": "pick", "value": 1}),
        "tips": [*tips, alt.Tooltip("y_low:Q", title="95% low"), alt.Tooltip("y_high:Q", title="95% high")],
    }


def _columns(families: list[str]) -> int:
    """Return in how many columns a legend fits beneath a plot; 0: all in one row."""
    return 0 if len(families) <= MOST_IN_A_ROW else MOST_IN_A_ROW - 1


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
    if family != UNJUDGED and len({point["curve"] for point in points}) < len(points):
        curve = base.mark_line(xOffset=shift, strokeWidth=1.5)
        layers.append(curve.encode(channels["x"], channels["y"], alt.Detail("curve:N")))
    dots = base.mark_point(xOffset=shift, filled=family != UNJUDGED, size=64)
    layers.append(dots.encode(channels["x"], channels["y"], channels["shape"], tooltip=channels["tips"]))
    return layers
