"""The change of a measure against compression, of any number of models: filled with intervals, hollow if published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crushtest.report.change import Change, Quantity
from crushtest.report.figures.figure import SIZE, Figure, Row
from crushtest.report.figures.marks import Axis
from crushtest.report.figures.scatter import COMPRESSION
from crushtest.report.figures.theme import Theme, series_scale
from crushtest.report.formats import show_difference, show_interval, unit_of_difference
from crushtest.report.wording import DIRECTIONS

if TYPE_CHECKING:
    import altair as alt

DRAWN = "changes"
FAMILIES_ACROSS, MODELS_ACROSS = 4, 2
"""Entries of a legend beside each other, so that a phone has room for them."""
TICKS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
WIDE = 2.0
"""Changes of more than this share of dense's value need an axis that is logarithmic away from 0."""


def change_plot(quantity: Quantity, changes: Sequence[Change], *, note: str = "") -> Figure | None:
    """Plot the changes whose compression is known; None if there are none.

    note   what those who see the figure must know of the published numbers
    """
    placed = [change for change in changes if change.ratio is not None]
    if not placed:
        return None
    rows = [_row(quantity, change) for change in placed]
    unit = unit_of_difference(quantity.unit)
    relative = ", as a share of dense's" if quantity.is_relative else "," * bool(unit) + unit
    title = f"{quantity.label}: change against dense{relative} ({DIRECTIONS[quantity.better]})"
    own = any(not change.published for change in placed)
    published = any(change.published for change in placed)
    bars = " Filled: this study, with 95% intervals." if own else ""
    hollow = " Hollow: published, without intervals." if published else ""
    nominal = " Published compression is as stated, without the positions of kept weights." if own and published else ""
    words = (
        f"One mark per variant, a shape per model.{bars}{hollow}{nominal} Dashed: dense.{f' {note}' if note else ''}"
    )
    return Figure(
        f"{quantity.key}-change",
        quantity,
        "Change against compression",
        f"{title}, against {COMPRESSION.title}. {words}",
        words,
        ("variant", "model", COMPRESSION.title, "change", "95% interval"),
        tuple((row["arm"], row["model"], f"{row['x']:.0%}", row["text"], row["interval"]) for row in rows),
        {DRAWN: rows},
        lambda theme: _draw(theme, rows, title, quantity),
    )


def _row(quantity: Quantity, change: Change) -> Row:
    unit = "rate" if quantity.is_relative else quantity.unit
    scale = change.dense if quantity.is_relative else 1.0
    shown = [None if end is None else end / scale for end in (change.difference, change.low, change.high)]
    y, low, high = shown
    suffix = "%" if quantity.is_relative else unit_of_difference(unit)
    return {
        "arm": change.arm,
        "model": change.model,
        "family": change.family,
        "curve": f"{change.model} {change.curve}",
        "published": change.published,
        "x": change.ratio,
        "y": y,
        "y_low": low,
        "y_high": high,
        "text": f"{show_difference(y, unit)}{suffix}",
        "interval": show_interval(low, high, unit) or "none",
    }


def _draw(theme: Theme, rows: Sequence[Row], title: str, quantity: Quantity) -> alt.TopLevelMixin:
    import altair as alt

    families = sorted({row["family"] for row in rows})
    models = list(dict.fromkeys(row["model"] for row in rows))
    series = (*theme.series, theme.ink, theme.muted)
    colours = {"domain": families, "range": [series[n % len(series)] for n in range(len(families))]}
    _, shapes = series_scale(theme, models)
    colour = alt.Color("family:N", title=None, scale=colours, legend=alt.Legend(columns=FAMILIES_ACROSS))
    shape = alt.Shape(
        "model:N", title=None, scale=shapes, legend=alt.Legend(columns=MODELS_ACROSS, orient="top", offset=24)
    )
    tips = ["arm:N", "model:N", alt.Tooltip("x:Q", title=COMPRESSION.title), "text:N", "interval:N"]
    x = alt.X("x:Q", title=COMPRESSION.title, **Axis(COMPRESSION.title, "rate").settings([row["x"] for row in rows]))
    y = alt.Y("y:Q", title=title, **_settings(rows, quantity))
    base = alt.Chart(alt.NamedData(DRAWN)).encode(x, colour, shape)
    curves = alt.Chart(alt.NamedData(DRAWN)).mark_line(strokeWidth=1, opacity=0.4)
    zero = alt.Chart(alt.NamedData(DRAWN)).mark_rule(strokeDash=[4, 4], color=theme.muted, strokeWidth=1)
    own = base.transform_filter("!datum.published")
    return alt.layer(
        zero.encode(alt.YDatum(0)),
        curves.encode(x, y, colour, alt.Detail("curve:N")),
        own.mark_rule(strokeWidth=1.5).encode(alt.Y("y_low:Q"), alt.Y2("y_high:Q")),
        base.transform_filter("datum.published")
        .mark_point(filled=False, size=42, strokeWidth=1.2, opacity=0.9)
        .encode(y, tooltip=tips),
        own.mark_point(filled=True, size=64, opacity=1).encode(y, tooltip=tips),
    ).properties(**SIZE)


def _settings(rows: Sequence[Row], quantity: Quantity) -> dict[str, Any]:
    """Return axis and scale: points for rates, percent for perplexities, logarithmic away from 0 if some are far."""
    ends = [row[end] for row in rows for end in ("y", "y_low", "y_high") if row[end] is not None]
    percent = quantity.is_relative or quantity.unit == "rate"
    shown = "datum.value * 100" if percent else "datum.value"
    suffix = "%" if quantity.is_relative else ""
    axis = {"labelExpr": f"format({shown}, '+~g') + '{suffix}'", "tickCount": 5}
    if quantity.is_relative and max(ends) > WIDE:
        ticks = [sign * tick for sign in (-1, 1) for tick in TICKS if min(ends) <= sign * tick <= max(ends)]
        return {"axis": axis | {"values": [0, *ticks]}, "scale": {"type": "symlog", "constant": 0.1}}
    return {"axis": axis, "scale": {"zero": False, "padding": 12}}
