"""Published numbers beside a study's own: the measures that both have, and how the source took them otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from crushtest.data.published.point import Point
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
        figure = change_plot(quantity, [*pooled(own), *published], note=said_of(same, len(published)))
        if figure is not None and published:
            yield figure


def said_of(points: Sequence[Point], drawn: int) -> str:
    """Say how a source measured, that its numbers judge nothing, and how many are not comparable, by rule."""
    sources = listed(sorted({point.source for point in points}))
    notes = "; ".join(dict.fromkeys(point.note for point in points if point.note))
    flags = Counter(flag for point in points if not point.comparable for flag in point.flags[-1:])
    left = sum(flags.values())
    why = listed([f"{flag.replace('_', ' ')} ({count})" for flag, count in flags.most_common()])
    missing = f" Not drawn, because not comparable: {counted(left, 'number')}, {why}." if left else ""
    return f"{sources}: {notes}. No verdict uses these {counted(drawn, 'change')}.{missing}"
