"""Every draw of an arm as a dot, in the interval that speaks of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crushtest.report.figures.figure import Figure, Row
from crushtest.report.figures.theme import Theme
from crushtest.report.formats import show_difference, show_interval, unit_of_difference
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.wording import ALL
from crushtest.results import Contrast

if TYPE_CHECKING:
    import altair as alt

DOTS, MEANS, ZERO = "draws", "means", "no difference"
HEIGHT_PER_ARM = 34
SCALED = {"rate": 100.0}
"""Differences of rates are shown in percentage points."""


def draws(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the difference of the headline in each draw of each arm. None if no arm has several draws."""
    metric = task.headline
    rows = [row for arm in study.others if (row := study.contrast(arm.name, task.name, metric.name, ALL)) and row.draws]
    if not rows:
        return None
    unit = task.unit(metric.name)
    of_unit = unit_of_difference(unit)
    title = f"Change of {task.label(metric.name).text}{f', in{of_unit}' if of_unit else ''}"
    return Figure(
        f"{task.number}-draws",
        task,
        "Draw by draw",
        f"{title}, of each calibration draw or draw of sampled completions, and of their mean with its 95% interval, "
        "which speaks of other items and other draws.",
        "Dots: single draws. Bar and tick: their mean, with the 95% interval for other items and other draws.",
        ("variant", "mean difference", "95% interval", "draws", "variance due to draws"),
        tuple(_as_text(row, unit) for row in rows),
        {
            DOTS: [
                {"arm": row.arm, "x": value * SCALED.get(unit, 1.0), "draw": number}
                for row in rows
                for number, value in enumerate(row.draws.values if row.draws else ())
            ],
            MEANS: [_mean(row, SCALED.get(unit, 1.0)) for row in rows],
            ZERO: [{"x": 0.0}],
        },
        lambda theme: _draw(theme, title, len(rows)),
    )


def _as_text(row: Contrast, unit: str) -> tuple[str, ...]:
    assert row.draws is not None
    ends = row.intervals.at95 if row.intervals else None
    return (
        row.arm,
        show_difference(row.difference, unit),
        show_interval(ends.low, ends.high, unit) if ends else row.reason or "none",
        ", ".join(show_difference(value, unit) for value in row.draws.values),
        "not known" if row.draws.share is None else f"{row.draws.share:.0%}",
    )


def _mean(row: Contrast, scale: float) -> Row:
    ends = row.intervals.at95 if row.intervals else None
    shown: Row = {"arm": row.arm, "x": (row.difference or 0.0) * scale}
    return shown | ({"low": ends.low * scale, "high": ends.high * scale} if ends else {})


def _draw(theme: Theme, title: str, arms: int) -> alt.TopLevelMixin:
    import altair as alt

    y = alt.Y("arm:N", title=None, sort=None, axis=alt.Axis(labelLimit=200))
    settings: dict[str, Any] = {"axis": {"format": ".4~g", "tickCount": 5}, "scale": {"zero": True, "padding": 12}}
    x = alt.X("x:Q", title=title, **settings)
    means = alt.Chart(alt.NamedData(MEANS))
    return alt.layer(
        means.mark_bar(color=theme.hatch, height=8).encode(alt.X("low:Q", title=title), alt.X2("high:Q"), y),
        alt.Chart(alt.NamedData(ZERO)).mark_rule(color=theme.muted).encode(alt.X("x:Q")),
        means.mark_tick(color=theme.ink, thickness=2, size=16).encode(x, y),
        alt.Chart(alt.NamedData(DOTS))
        .mark_point(filled=True, size=45, color=theme.series[0], opacity=0.9)
        .encode(x, y, alt.Tooltip(["arm:N", "draw:Q", "x:Q"])),
    ).properties(width=330, height=HEIGHT_PER_ARM * arms)
