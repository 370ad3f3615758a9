"""Would perplexity have told? How well the loss in language modelling ranks the variants by each other headline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crushtest.report.formats import MINUS
from crushtest.report.study_view import StudyView
from crushtest.report.untrusted import name
from crushtest.study import manifest


class RankingRow(NamedTuple):
    """One headline: what ranks the variants by it, the rank correlation with its interval, and how many variants."""

    by: str
    measure: str
    correlation: str
    arms: str


def ranking_rows(study: StudyView) -> Iterator[RankingRow]:
    """Yield a row per headline of a study of enough variants."""
    names = {task.name for task in study.tasks}
    for entry in study.manifest.get(manifest.RANKINGS, {}).values():
        if {entry["by_task"], entry["task"]} <= names:
            yield RankingRow(
                _measure(study, entry["by_task"], entry["by_metric"]),
                _measure(study, entry["task"], entry["metric"]),
                _correlation(entry["correlation"], entry["low"], entry["high"], entry["reason"]),
                str(entry["arms"]),
            )


def _measure(study: StudyView, task: str, metric: str) -> str:
    return f"{study.task(task).label(metric).text} ({name(task)})"


def _correlation(value: float | None, low: float | None, high: float | None, reason: str | None) -> str:
    if value is None:
        return f"not known: {reason}"
    interval = f"no interval: {reason}" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return f"{value:.2f} ({interval})".replace("-", MINUS)
