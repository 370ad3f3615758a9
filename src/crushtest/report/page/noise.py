"""Measurement noise on the page: how far repeats of dense moved each measure, and how each repeat ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from crushtest.report.formats import show_band
from crushtest.report.study_view import StudyView
from crushtest.report.wording import ALL, group_text


class NoiseRow(NamedTuple):
    """One measure's band, as text. `flips` is the most answers that a repeat changed."""

    task: str
    measure: str
    band: str
    flips: str
    repeats: int


def noise_rows(study: StudyView) -> Iterator[NoiseRow]:
    """Yield the bands of the measures that the page shows for a task, without those of single groups."""
    for task in study.tasks:
        shown = {metric: study.shown_groups(task, metric) for metric in study.metrics_of(task)}
        for band in study.bands:
            if band.task == task.name and band.group in shown.get(band.metric, ()):
                measure = task.label(band.metric).text
                yield NoiseRow(
                    task.name,
                    measure if band.group == ALL else f"{measure} ({group_text(band.group)})",
                    show_band(band.half_width, task.unit(band.metric)),
                    "" if band.flips is None else str(band.flips),
                    band.repeats,
                )


def repeat_facts(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield how each repeat ran, from the manifest."""
    for number, facts in content.get("repeats", {}).items():
        engine = facts.get("engine", {})
        parts = [str(engine[key]) for key in ("engine", "dtype", "device", "scoring") if engine.get(key)]
        parts += [f"{key}={value}" for key, value in facts.get("options", {}).items()]
        parts += [f"threads={facts['threads']}"] if "threads" in facts else []
        yield f"repeat {number}", ", ".join(["items in another order", *parts])
