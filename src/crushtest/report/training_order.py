"""The order of training and compression: arms trained before compression beside arms trained after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from crushtest.records import Better
from crushtest.report.bounds import interval_text
from crushtest.report.change import Change, Quantity
from crushtest.report.figures.figure import Figure, Row, Subject
from crushtest.report.figures.theme import Theme, series_scale
from crushtest.report.formats import show_difference, show_value, unit_of_difference
from crushtest.report.shading import verdict_text
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL, DIRECTIONS, group_text, listed

if TYPE_CHECKING:
    import altair as alt

ORDERS = {"before": "trained, then compressed", "after": "compressed, then trained"}
ROW_HEIGHT = 26
WIDTH = 330
LINE = 32
"""Characters of an axis title that fit below the axis on a phone."""
DRAWN = "changes"


def training_order(study: StudyView, task: TaskView) -> Figure | None:
    """Plot the headline's change in every arm whose order is known; None unless the study has arms of both orders."""
    rows = [row for group in study.headline_groups(task) for row in _rows(study, task, group)]
    if {row["order"] for row in rows} != set(ORDERS.values()):
        return None
    shown = {row["arm"] for row in rows}
    hidden = [name(arm.name) for arm in study.others if arm.plan.training and name(arm.name) not in shown]
    missing = f" Not shown, because they have no number: {listed(hidden)}." if hidden else ""
    headline, label = task.headline, task.label(task.headline.name).text
    words = Words(
        label, headline.unit, headline.better, ", each with its 95% interval", "Bars: 95% intervals. ", missing
    )
    return _figure(f"{task.number}-order", task, words, rows)


def published_order(quantity: Quantity, changes: Sequence[Change], *, note: str) -> Figure | None:
    """Plot the published changes of models whose order is said; None unless there are some of both orders."""
    rows = [_published_row(quantity, change) for order in ORDERS for change in changes if change.training == order]
    if {row["order"] for row in rows} != set(ORDERS.values()):
        return None
    words = Words(
        quantity.label, quantity.unit, quantity.better, "", "No number has an interval. ", f" {note}".rstrip()
    )
    return _figure(f"{quantity.key}-order", quantity, words, rows)


@dataclass(frozen=True)
class Words:
    """What a figure says of its measure, of intervals, and of what is not in it."""

    label: str
    unit: str
    better: Better
    intervals: str
    bars: str
    more: str


def _figure(key: str, subject: Subject, words: Words, rows: list[Row]) -> Figure:
    unit = unit_of_difference(words.unit)
    quantity = f"{words.label}: change against dense{',' if unit else ''}{unit}"
    direction = DIRECTIONS[words.better]
    if words.better == "zero":  # the axis has its 0 at dense
        direction = f"a measure {direction}; dense has {show_value(rows[0]['dense'], words.unit)}"
    return Figure(
        key,
        subject,
        "Order of training and compression",
        f"{quantity} ({direction}). Variants trained before they were compressed, and variants trained after it"
        f"{words.intervals}.{words.more}",
        f"{words.bars}Dashed: dense.{words.more}",
        ("variant", "order", quantity, "95% interval", "says"),
        tuple((row["what"], row["order"], row["text"], row["interval"], row["says"]) for row in rows),
        {DRAWN: rows},
        lambda theme: _draw(theme, rows, [*wrap(quantity, LINE), *wrap(f"({direction})", LINE)], words.unit),
    )


def _published_row(quantity: Quantity, change: Change) -> Row:
    row: Row = {"arm": change.arm, "what": f"{change.arm} {change.training}", "order": ORDERS[change.training or ""]}
    row |= {"says": "published", "difference": change.difference, "low": None, "high": None, "dense": change.dense}
    return row | {"text": show_difference(change.difference, quantity.unit), "interval": "none"}


def _rows(study: StudyView, task: TaskView, group: str) -> list[Row]:
    """Return one row per arm with a number for these items, arms trained before compression first."""
    unit, rows = task.headline.unit, list[Row]()
    for order, words in ORDERS.items():
        for arm in study.others:
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if arm.plan.training == order and contrast is not None and contrast.difference is not None:
                what = name(arm.name) if group == ALL else f"{name(arm.name)} ({group_text(group)})"
                row: Row = {"arm": name(arm.name), "what": what, "order": words, "says": verdict_text(contrast, unit)}
                low, high = contrast.intervals.at95 if contrast.intervals else (None, None)
                row |= {"difference": contrast.difference, "low": low, "high": high, "dense": contrast.dense}
                row["text"] = show_difference(contrast.difference, unit)
                row["interval"] = interval_text(contrast, unit) or "none"
                rows.append(row)
    return rows


def _draw(theme: Theme, rows: list[Row], title: list[str], unit: str) -> alt.TopLevelMixin:
    import altair as alt

    places = [row["what"] for words in ORDERS.values() for row in rows if row["order"] == words]
    colours, shapes = series_scale(theme, list(ORDERS.values()))
    shown = "datum.value * 100" if unit == "rate" else "datum.value"
    axis = alt.Axis(labelExpr=f"format({shown}, '+~g')", tickCount=4, labelOverlap=True, titleAnchor="start")
    tips = ["what:N", "order:N", "text:N", alt.Tooltip("interval:N", title="95% interval"), "says:N"]
    base = alt.Chart(alt.NamedData(DRAWN)).encode(
        alt.Y("what:N", sort=places, title=None, axis=alt.Axis(labelLimit=170, grid=False)),
        alt.Color("order:N", title=None, scale=colours, legend=alt.Legend(columns=1)),
    )
    zero = alt.Chart(alt.NamedData(DRAWN)).mark_rule(strokeDash=[4, 4], color=theme.muted, strokeWidth=1)
    dots = base.mark_point(filled=True, size=70, opacity=1)
    return alt.layer(
        zero.encode(alt.XDatum(0)),
        base.mark_rule(strokeWidth=1.5).encode(alt.X("low:Q", title=title, axis=axis), alt.X2("high:Q")),
        dots.encode(
            alt.X("difference:Q"),
            alt.Shape("order:N", title=None, scale=shapes, legend=alt.Legend(columns=1)),
            tooltip=tips,
        ),
    ).properties(width=WIDTH, height=alt.Step(ROW_HEIGHT))
