"""Flips by decision margin: were the answers that changed close calls, or ones that dense was sure of?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crushtest.records import DENSE
from crushtest.report.arm_view import ArmView
from crushtest.report.figures.figure import SIZE, Figure, Row
from crushtest.report.figures.theme import Theme, series_scale
from crushtest.report.likeliest import likeliest
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.results import Interval
from crushtest.stats.intervals import clopper_pearson

if TYPE_CHECKING:
    import altair as alt

BINS = 5
MOST_NAMED = 6
"""As many variants have a colour each; of more, those of one method share it."""


class Dense(NamedTuple):
    """[items] how far dense's most likely option leads its second (nats), and its index; NaN where not answered."""

    margin: NDArray[np.float64]
    chosen: NDArray[np.float64]


class Bin(NamedTuple):
    """Items whose dense margin (nats) lies in low..high: how many, the share that flipped, its exact interval."""

    low: float
    high: float
    n: int
    share: float
    interval: Interval


def flips_by_margin(dense: Dense, chosen: NDArray[np.float64]) -> list[Bin]:
    """Return five bins of about equally many items, from the closest calls of dense to its surest answers.

    Items that one of the two did not answer are left out.
    """
    answered = ~(np.isnan(dense.chosen) | np.isnan(chosen))
    dense, chosen = Dense(dense.margin[answered], dense.chosen[answered]), chosen[answered]
    flipped = dense.chosen != chosen
    bins = []
    for rows in np.array_split(np.argsort(dense.margin, kind="stable"), BINS):
        if len(rows):
            share = float(flipped[rows].mean())
            interval = clopper_pearson(share * len(rows), len(rows), level=0.95)
            bins.append(Bin(float(dense.margin[rows[0]]), float(dense.margin[rows[-1]]), len(rows), share, interval))
    return bins


def read_dense(study: StudyView, task: TaskView) -> Dense:
    """Return dense's choices and how far they lead."""
    options = likeliest(_logprobs(study, task, DENSE, _ids(study, task)))
    return Dense(options.lead, options.chosen)


def read_chosen(study: StudyView, task: TaskView, arm: str, items: pl.DataFrame | None = None) -> NDArray[np.float64]:
    """Return the index of an arm's most likely option, [items]; NaN if it did not answer or options are tied."""
    return likeliest(_logprobs(study, task, arm, _ids(study, task) if items is None else items)).chosen


def _ids(study: StudyView, task: TaskView) -> pl.DataFrame:
    return study.folder.items_table(task.name).select("item")


def _logprobs(study: StudyView, task: TaskView, arm: str, items: pl.DataFrame) -> pl.Series:
    """Return an arm's log-likelihoods, [items]; null for items that it was not asked, because it had stopped."""
    answers = study.folder.answers(arm, task.name, "choices").table().frame.select("item", "logprobs")
    if answers["item"].equals(items["item"]):
        return answers["logprobs"]
    return items.join(answers, on="item", how="left", maintain_order="left")["logprobs"]


def margins(study: StudyView, task: TaskView) -> Figure | None:
    """Show how often answers flipped, by how sure dense was of them; None for tasks without right and wrong options."""
    if task.planned.task.kind != "choices" or not _has_right_answers(study, task):
        return None
    arms = [arm for arm in study.others if (arm.name, task.name) in study.compared]
    if not arms:
        return None
    dense, items = read_dense(study, task), _ids(study, task)
    by_method = len(arms) > MOST_NAMED
    rows = [
        _row(arm, arm.family if by_method else arm.name, place, margin_bin)
        for arm in arms
        for place, margin_bin in enumerate(flips_by_margin(dense, read_chosen(study, task, arm.name, items)))
    ]
    if not rows:  # letters read from replies have no lead
        return None
    return Figure(
        f"{task.number}-margins",
        task,
        "Which answers flipped",
        "Share of items whose most likely option changed, by how far that option led in dense (nats), in five equal "
        "parts of the items, with exact 95% intervals. Flips on the left were close calls; those on the right were "
        "answers that dense was sure of.",
        "Left: close calls. Right: answers that dense was sure of. Fifths of the items, with 95% intervals."
        f"{' Variants of one method share a colour; the table names them.' if by_method else ''}",
        ("variant", "lead in dense (nats)", "flipped", "95% interval", "items"),
        tuple(
            (row["arm"], row["bin"], f"{row['share']:.1%}", f"{row['low']:.1%} to {row['high']:.1%}", str(row["n"]))
            for row in rows
        ),
        {"bins": rows},
        lambda theme: _draw(theme, rows),
    )


def _has_right_answers(study: StudyView, task: TaskView) -> bool:
    if task.items is None:
        return False
    gold = study.folder.items_table(task.name)["gold"]
    return gold.null_count() < len(gold)


def _row(arm: ArmView, series: str, place: int, margin_bin: Bin) -> Row:
    return {
        "arm": name(arm.name),
        "series": name(series),
        "place": place,
        "bin": f"{margin_bin.low:.1f}–{margin_bin.high:.1f}",
        "share": margin_bin.share,
        "n": margin_bin.n,
        "low": margin_bin.interval.low,
        "high": margin_bin.interval.high,
    }


def _draw(theme: Theme, rows: list[Row]) -> alt.TopLevelMixin:
    import altair as alt

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    bins = [row["bin"] for row in sorted(rows, key=lambda row: row["place"])]
    series = list(dict.fromkeys(row["series"] for row in rows))
    colours, shapes = series_scale(theme, series)
    base = alt.Chart(alt.NamedData("bins")).encode(
        alt.X("bin:N", sort=list(dict.fromkeys(bins)), title="lead in dense (nats)", axis=alt.Axis(labelAngle=0)),
        alt.XOffset("arm:N", sort=arms),
        alt.Color("series:N", sort=series, title=None, scale=colours, legend=alt.Legend(columns=2, labelLimit=150)),
        tooltip=["arm:N", "bin:N", alt.Tooltip("share:Q", format=".1%"), "n:Q"],
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(alt.Y("low:Q", title="answers flipped", axis=axis), alt.Y2("high:Q")),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            alt.Y("share:Q"), alt.Shape("series:N", sort=series, scale=shapes, title=None)
        ),
    ).properties(**SIZE)
