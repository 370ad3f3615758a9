"""Flips by decision margin: were the answers that changed close calls, or ones that dense was sure of?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from crushtest.plan import DENSE
from crushtest.report.figure import SIZE, Figure, Row
from crushtest.report.gather import ArmView, StudyView, TaskView
from crushtest.report.theme import Theme, series_scale
from crushtest.report.untrusted import name
from crushtest.stats.intervals import Interval, wilson

if TYPE_CHECKING:
    import altair as alt

BINS = 5


class Bin(NamedTuple):
    """Items whose dense margin (nats) lies in low..high: how many, the share that flipped, its Wilson interval."""

    low: float
    high: float
    n: int
    share: float
    interval: Interval


def flips_by_margin(study: StudyView, task: TaskView, arm: ArmView) -> list[Bin]:
    """Five bins of about equally many items, from the closest calls of dense to its surest answers."""
    margin = dense_margins(study, task)
    answers = study.folder.answers(arm.name, task.name, "choices")
    flipped = chosen(study, task, DENSE) != pl.read_parquet(answers.final)["logprobs"].list.arg_max().to_numpy()
    found = []
    for rows in np.array_split(np.argsort(margin, kind="stable"), BINS):
        if len(rows):
            share = float(flipped[rows].mean())
            interval = wilson(share * len(rows), len(rows))
            found.append(Bin(float(margin[rows[0]]), float(margin[rows[-1]]), len(rows), share, interval))
    return found


def dense_margins(study: StudyView, task: TaskView) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """[items] how far dense's most likely option leads its second, in nats."""
    frame = pl.read_parquet(study.folder.answers(DENSE, task.name, "choices").final)
    ordered = frame.select(pl.col("logprobs").list.sort(descending=True))
    lead = ordered.select(pl.col("logprobs").list.get(0) - pl.col("logprobs").list.get(1, null_on_oob=True))
    return lead["logprobs"].fill_null(0.0).to_numpy()


def chosen(study: StudyView, task: TaskView, arm: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """[items] the index of the most likely option."""
    frame = pl.read_parquet(study.folder.answers(arm, task.name, "choices").final)
    return frame["logprobs"].list.arg_max().to_numpy()


def margins(study: StudyView, task: TaskView) -> Figure | None:
    """How often answers flipped, by how sure dense was of them; None for tasks without right and wrong options."""
    if task.planned.task.kind != "choices" or not _has_right_answers(study, task):
        return None
    rows = [
        row
        for arm in study.others
        if (arm.name, task.name) in study.compared
        for row in map(_row, [arm] * BINS, range(BINS), flips_by_margin(study, task, arm))
    ]
    if not rows:
        return None
    return Figure(
        f"{task.number}-margins",
        task,
        "Which answers flipped",
        "Share of items whose most likely option changed, by how far that option led in dense (nats), in five equal "
        "parts of the items, with 95% intervals (Wilson). Flips on the left were close calls; flips on the right were "
        "answers that dense was sure of.",
        "Left: close calls. Right: answers that dense was sure of. Fifths of the items, with 95% intervals.",
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
    gold = pl.read_parquet(study.folder.items_path(task.name), columns=["gold"])["gold"]
    return gold.null_count() < len(gold)


def _row(arm: ArmView, place: int, found: Bin) -> Row:
    ends = {"low": found.interval.low, "high": found.interval.high}
    lead = f"{found.low:.1f}–{found.high:.1f}"
    return {"arm": name(arm.name), "place": place, "bin": lead, "share": found.share, "n": found.n, **ends}


def _draw(theme: Theme, rows: list[Row]) -> alt.TopLevelMixin:
    import altair as alt

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    bins = [row["bin"] for row in sorted(rows, key=lambda row: row["place"])]
    colours, shapes = series_scale(theme, arms)
    base = alt.Chart(alt.NamedData("bins")).encode(
        alt.X("bin:N", sort=list(dict.fromkeys(bins)), title="lead in dense (nats)", axis=alt.Axis(labelAngle=0)),
        alt.XOffset("arm:N", sort=arms),
        alt.Color("arm:N", sort=arms, title=None, scale=colours, legend=alt.Legend(columns=2, labelLimit=150)),
        tooltip=["arm:N", "bin:N", alt.Tooltip("share:Q", format=".1%"), "n:Q"],
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(alt.Y("low:Q", title="answers flipped", axis=axis), alt.Y2("high:Q")),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            alt.Y("share:Q"), alt.Shape("arm:N", sort=arms, scale=shapes, title=None)
        ),
    ).properties(**SIZE)
