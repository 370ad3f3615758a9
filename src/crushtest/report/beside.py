"""Published numbers beside a study's own: the measures that both have, and how the source measured them otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from crushtest.data.published.point import Point
from crushtest.records import DENSE
from crushtest.report.change import of_points, of_study, pooled
from crushtest.report.figures.change_plot import change_plot
from crushtest.report.figures.figure import Figure
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.wording import counted, listed


def beside(study: StudyView, task: TaskView) -> Iterator[Figure]:
    """Yield a figure for every measure that the study and published tables have in common."""
    measured = {metric for name, metric in study.rows_of if name == task.name}
    points = [point for point in study.beside if point.task == task.name and point.metric in measured]
    for metric in dict.fromkeys(point.metric for point in points):
        same = [point for point in points if point.metric == metric]
        quantity, own = of_study(study, task, metric)
        published = of_points(same, task.name, metric)
        note = f"{said_of(same)} No verdict uses these {counted(len(published), 'change')}."
        figure = change_plot(quantity, [*pooled(own), *published], note=note)
        if figure is not None and published:
            yield figure


def nothing_beside(study: StudyView, sources: Sequence[str]) -> str:
    """Return that these sources and the study have no measure in common; empty if one is drawn."""
    if any(figure for task in study.tasks for figure in beside(study, task)):
        return ""
    return f"no measure in common with {listed(list(sources))}: nothing is drawn beside the study's own"


def said_of(points: Sequence[Point]) -> str:
    """Say how a source measured, and which of these numbers have no mark, by what a rule says of them or of dense."""
    sources = listed(sorted({point.source for point in points}))
    notes = "; ".join(dict.fromkeys(point.note for point in points if point.note))
    others = [point for point in points if point.arm != DENSE]
    flags = Counter(flag for point in others if not point.comparable for flag in point.flags[-1:])
    left = Counter({flag.replace("_", " "): count for flag, count in flags.items()})
    keys = {(point.model, point.table, point.group) for point in points if point.arm == DENSE and point.comparable}
    without = [p for p in others if p.comparable and p.value is not None and (p.model, p.table, p.group) not in keys]
    left["without a comparable dense model"] += len(without)
    why = listed([f"{reason} ({count})" for reason, count in left.most_common() if count])
    missing = f" Not drawn, because not comparable: {counted(left.total(), 'number')}, {why}." if why else ""
    return f"{sources}: {notes}.{missing}"
