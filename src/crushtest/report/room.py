"""Headlines of which dense hardly has what could be lost, so that a loss could hardly be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crushtest.metrics import ALL, Metric
from crushtest.report.findings import headline_subject
from crushtest.report.formats import show_value
from crushtest.report.wording import listed
from crushtest.results import Contrast
from crushtest.stats.effects import BAD, room_for_harm

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView

LITTLE = 0.05
"""The part of a metric's range, such as five points of a rate, below which there is little room to get worse."""


def room_notes(study: StudyView) -> Iterator[str]:
    """Yield one sentence that names the headlines with too little room to get worse; nothing if there are none."""
    near = []
    for task in study.headed:
        rows = [row for arm in study.others if (row := study.contrast(arm.name, task.name, task.headline.name, ALL))]
        cramped = next((row for row in rows if is_cramped(row, task.headline)), None)
        if cramped is not None:
            near.append(f"{headline_subject(study, task)} {show_value(cramped.dense, task.headline.unit)}")
    if near:
        yield f"A loss could hardly be seen where dense is so near the worst value that there is: {listed(near)}."


def is_cramped(row: Contrast, metric: Metric) -> bool:
    """Return whether dense leaves less room to get worse than `LITTLE`, or than half of the interval's width."""
    if metric.bounds is None or row.dense is None or metric.better not in ("lower", "higher"):
        return False  # a bias of 0 is the best value, and has most room
    low, high = metric.bounds
    reach = 0.0 if row.intervals is None else (row.intervals.at95.high - row.intervals.at95.low) / 2
    return room_for_harm(row.dense, metric.bounds, BAD[metric.better]) < max(LITTLE * (high - low), reach)
