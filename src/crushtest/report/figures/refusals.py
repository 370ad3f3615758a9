"""What is declined rightly against what is declined wrongly: did compression move the line, or only blur it?"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from crushtest.records import DENSE
from crushtest.report.figures.figure import SIZE, Figure, Row
from crushtest.report.figures.marks import (
    LABELLED,
    Axis,
    channels_of,
    dense_layers,
    family_layers,
    labels_of,
    with_labels,
)
from crushtest.report.figures.scatter import as_text, metric_axis, not_shown, points_of, value_of
from crushtest.report.figures.theme import Theme
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView

if TYPE_CHECKING:
    import altair as alt

LEVELS = (0.0, 1.0, 2.0, 3.0)
"""The d' whose lines are drawn."""
STEPS = 50
LINES, WAYS, HEADS = "equal discrimination", "ways from dense", "heads"
NORMAL = NormalDist()


def refusals(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the share of requests declined rightly against the share declined wrongly, with a way from dense to each.

    None for tasks without completions, and for those that do not measure both.
    """
    declining = [metric for metric in task.metrics if metric.role == "abstention" and metric.unit == "rate"]
    right = [metric.name for metric in declining if metric.better == "higher"]
    wrong = [metric.name for metric in declining if metric.better == "lower"]
    if task.planned.task.kind != "prompts" or not right or not wrong:
        return None
    places = {arm.name: value_of(study, arm, task, wrong[0]) for arm in study.arms}
    points = points_of(study, task, right[0], places)
    if all(point["family"] == DENSE for point in points):
        return None
    x, y = metric_axis(task, wrong[0]), metric_axis(task, right[0])
    points = with_labels(points, x, y)
    families = dict.fromkeys(point["family"] for point in points)
    missing = not_shown(study, task, points)
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    return Figure(
        f"{task.number}-refusals",
        task,
        "Rightly against wrongly declined",
        f"{y.title}, against {x.title}. One mark per variant, with its 95% intervals, and an arrow to it from dense. "
        f"Along a grey line harmful and harmless requests are told apart equally well (d' of {levels}). "
        f"A request that is not declined need not get a harmful answer: only a scorer of harm says so.{missing}",
        f"Grey lines: d' of {levels}, from the diagonal up. An arrow along a line moved; one across it towards the "
        f"diagonal blurred.{missing}",
        ("variant", x.title, "95% interval", y.title, "95% interval"),
        tuple(as_text(point, x, y) for point in points),
        {
            **{family: [point for point in points if point["family"] == family] for family in families},
            LABELLED: [point for point in points if point["label"] != "none"],
            LINES: _lines(),
            **_ways(points),
        },
        lambda theme: _draw(theme, points, x, y),
    )


def _lines() -> list[Row]:
    """Return points of the curves on which d' = z(y) - z(x) is the same, from corner to corner."""
    corners = [{"x": end, "y": end} for end in (0.0, 1.0)]
    inner = [number / STEPS for number in range(1, STEPS)]
    rows = []
    for level in LEVELS:
        curve = [{"x": x, "y": NORMAL.cdf(NORMAL.inv_cdf(x) + level)} for x in inner]
        rows += [{"level": level, **point} for point in (corners[0], *curve, corners[1])]
    return rows


def _ways(points: list[Row]) -> dict[str, list[Row]]:
    """Return the lines from dense to each arm, and where their heads lie and point to (degrees, clockwise from up)."""
    dense = next((point for point in points if point["family"] == DENSE), None)
    ways: list[Row] = []
    heads: list[Row] = []
    for point in points:
        if dense is None or point is dense or (point["x"], point["y"]) == (dense["x"], dense["y"]):
            continue
        across, up = point["x"] - dense["x"], point["y"] - dense["y"]
        ways.append({"x": dense["x"], "y": dense["y"], "x2": point["x"], "y2": point["y"]})
        # Two thirds along, so that no head hides the mark. Axes have one scale, but are not equally long.
        turned = math.degrees(math.atan2(across * SIZE["width"], up * SIZE["height"]))
        heads.append({"x": dense["x"] + across * 2 / 3, "y": dense["y"] + up * 2 / 3, "turned": turned})
    return {WAYS: ways, HEADS: heads}


def _draw(theme: Theme, points: list[Row], x: Axis, y: Axis) -> alt.TopLevelMixin:
    import altair as alt

    families = list(dict.fromkeys(point["family"] for point in points if point["family"] != DENSE))
    channels = channels_of(theme, points, families, x, y)
    whole: dict[str, Any] = {"scale": {"domain": [0, 1], "nice": False}, "axis": {"format": ".0%", "tickCount": 5}}
    channels |= {"x": alt.X("x:Q", title=x.title, **whole), "y": alt.Y("y:Q", title=y.title, **whole)}
    lines = alt.Chart(alt.NamedData(LINES)).mark_line(color=theme.hatch, strokeWidth=1)
    ways = alt.Chart(alt.NamedData(WAYS)).mark_rule(color=theme.muted, strokeWidth=1)
    heads = alt.Chart(alt.NamedData(HEADS)).mark_point(shape="triangle-up", filled=True, size=45, color=theme.muted)
    turned = alt.Angle("turned:Q", scale=alt.Scale(domain=[0, 360], range=[0, 360]))
    layers = [
        lines.encode(channels["x"], channels["y"], alt.Detail("level:N")),
        ways.encode(channels["x"], channels["y"], alt.X2("x2:Q"), alt.Y2("y2:Q")),
        heads.encode(channels["x"], channels["y"], turned),
        *dense_layers(theme, channels),
    ]
    for family in families:
        layers += family_layers(family, [point for point in points if point["family"] == family], channels, 0)
    layers += labels_of(theme, points, channels)
    layers[0] = layers[0].add_params(alt.selection_point(name="pick", fields=["family"], bind="legend"))
    return alt.layer(*layers).properties(**SIZE)
