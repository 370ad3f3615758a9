"""Heat maps: how a measure changed in every group and arm, in a study or in published tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crushtest.report.arm_view import ArmView
from crushtest.report.bounds import interval_text
from crushtest.report.change import Change, Quantity
from crushtest.report.figures.figure import Figure, Row, Subject
from crushtest.report.figures.theme import STEPS, Theme
from crushtest.report.formats import show_difference, unit_of_difference
from crushtest.report.shading import shade, size_depth, tone_of
from crushtest.report.study_view import StudyView, ordered_groups
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL, DIRECTIONS, counted, group_text

if TYPE_CHECKING:
    import altair as alt

CELL = {"width": 84, "height": 22}
NARROW = 46
"""The width of a cell without an interval to leave room for."""
HATCH = "".join(f"M{x / 10},1L{x / 10 + 2},-1" for x in range(-38, 20, 7))
"""Diagonal strokes across a cell's width; its height is from -1 to 1."""


def heat_map(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the change in each group; None for a task without groups to compare."""
    metric, unit = task.headline.name, task.headline.unit
    groups = ordered_groups(study, task, metric)
    arms = [arm for arm in study.others if (arm.name, task.name) in study.compared]
    if len(groups) < 2 or not arms:
        return None
    rows = [_cell(study, task, arm, group) for group in [ALL, *groups] for arm in arms]
    with_interval = {row["group"] for row in rows if row["interval"] != "none"}
    if len(with_interval) < 2:
        return None
    left = len({row["group"] for row in rows}) - len(with_interval)
    return _figure(
        f"{task.number}-groups",
        task,
        f"{task.label(metric).text} ({DIRECTIONS[task.headline.better]}): change against dense"
        f"{',' if unit_of_difference(unit) else ''}{unit_of_difference(unit)}, in every group and variant. Orange "
        "is worse, blue is better, deeper is more, hatched is not clear of noise",
        f"{task.label(metric).text}{',' if unit_of_difference(unit) else ''}{unit_of_difference(unit)}, "
        f"{DIRECTIONS[task.headline.better]}."
        + (f" Not drawn, because no variant has an interval: {counted(left, 'group')}." if left else ""),
        rows,
        [row for row in rows if row["group"] in with_interval],
    )


def published_heat_map(quantity: Quantity, model: str, changes: Sequence[Change], *, note: str) -> Figure | None:
    """Plot the published change of one model in each group, by size alone: no published number has an interval."""
    rows = [_published_cell(quantity, change) for change in changes if change.model == model]
    if len({row["group"] for row in rows}) < 2:
        return None
    unit = unit_of_difference(quantity.unit)
    about = f"{quantity.label} ({DIRECTIONS[quantity.better]}), {model}: published change against dense{unit}"
    return _figure(
        f"{quantity.key}-{model}-groups",
        quantity,
        f"{about}, in every group and variant. Orange is worse, blue is better, deeper is more",
        f"{about}. No number has an interval, so the colours say how much and not how sure. {note}".rstrip(),
        rows,
        rows,
        width=NARROW,
    )


def _figure(
    key: str,
    subject: Subject,
    about: str,
    note: str,
    rows: Sequence[Row],
    drawn: Sequence[Row],
    *,
    width: int = CELL["width"],
) -> Figure:
    changed = any(row["shade"].startswith("changed") for row in drawn)
    violet = ", violet is changed without being better or worse" if changed else ""
    return Figure(
        key,
        subject,
        "Change in each group",
        f"{about}{violet}.",
        note,
        ("group", "variant", "difference", "95% interval", "items"),
        tuple((row["group"], row["arm"], row["difference"], row["interval"], str(row["n"])) for row in rows),
        {"cells": list(drawn)},
        lambda theme: _draw(theme, drawn, width),
        wide=True,
    )


def _cell(study: StudyView, task: TaskView, arm: ArmView, group: str) -> Row:
    unit = task.headline.unit
    contrast = study.contrast(arm.name, task.name, task.headline.name, group)
    tone, depth = shade(contrast, unit)
    return {
        "group": name(group_text(group)),
        "arm": name(arm.name),
        "difference": show_difference(contrast.difference, unit) if contrast else "not measured",
        "interval": (interval_text(contrast, unit) or "none") if contrast else "none",
        "n": contrast.n if contrast else 0,
        "shade": f"{tone} {depth}" if depth else tone,
        "strong": tone in ("worse", "better") and depth == len(STEPS),
    }


def _published_cell(quantity: Quantity, change: Change) -> Row:
    tone = tone_of(change.dense, change.value, quantity.better)
    depth = size_depth(change.dense, change.value, quantity.unit)
    return {
        "group": name(group_text(change.group)),
        "arm": name(change.arm),
        "difference": show_difference(change.difference, quantity.unit),
        "interval": "none",
        "n": "not published",
        "shade": f"{tone} {depth}",
        "strong": tone in ("worse", "better") and depth == len(STEPS),
    }


def _draw(theme: Theme, rows: Sequence[Row], width: int) -> alt.TopLevelMixin:
    import altair as alt

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    groups = list(dict.fromkeys(row["group"] for row in rows))
    shades = list(dict.fromkeys(row["shade"] for row in rows))
    fills = [theme.fill(tone, int(depth or 0)) for tone, _, depth in (shade.partition(" ") for shade in shades)]
    base = alt.Chart(alt.NamedData("cells")).encode(
        alt.X("arm:N", sort=arms, title=None, axis=alt.Axis(orient="top", labelAngle=-28, labelLimit=170)),
        alt.Y("group:N", sort=groups, title=None, axis=alt.Axis(labelLimit=200, grid=False)),
        tooltip=["group:N", "arm:N", "difference:N", alt.Tooltip("interval:N", title="95% interval"), "n:N"],
    )
    hatch = base.transform_filter("datum.shade == 'noise'").mark_point(
        shape=HATCH, size=CELL["height"] ** 2 * 0.8, strokeWidth=1, stroke=theme.hatch, fill=None, opacity=1
    )
    ink = alt.condition("datum.strong", alt.value(theme.surface), alt.value(theme.ink))
    return alt.layer(
        base.mark_rect(stroke=theme.surface, strokeWidth=2).encode(
            alt.Color("shade:N", scale={"domain": shades, "range": fills}, legend=None)
        ),
        *([hatch] if "noise" in shades else []),
        base.mark_text(fontSize=10.5).encode(alt.Text("difference:N"), color=ink),
    ).properties(width=alt.Step(width), height=alt.Step(CELL["height"]))
