"""What to say of the metric that stands for a task: why it is not the first choice, and the ratio of a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from crushtest.metrics import Metric
from crushtest.report.formats import show_bound, show_value
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, sentence_case
from crushtest.study.headlines import headline, smallest_rise

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView
    from crushtest.report.task_view import TaskView
    from crushtest.results import Contrast


def unfit_notes(study: StudyView) -> Iterator[str]:
    """Yield a note per task whose first choice would miss a fourfold rise: why, and which measure heads it instead."""
    for task in study.tasks:
        first = headline(task.planned.task)
        rows = [row for arm in study.others if (row := study.contrast(arm.name, task.name, first.name))]
        if first.name in task.unfit and rows:
            yield _unfit_note(task, first, rows)


def _unfit_note(task: TaskView, first: Metric, rows: Sequence[Contrast]) -> str:
    dense = next((show_value(row.dense, first.unit) for row in rows if row.dense is not None), "undefined")
    most = max(rows, key=lambda row: row.n)
    smallest = smallest_rise(most)
    rise = "any rise" if smallest >= 1 else f"a rise below {show_bound(smallest, first.unit)} points"
    heads = "It still heads the task, which has no other such measure."
    if task.headline != first:
        heads = f"So {task.label(task.headline.name).text} heads the task."
    subject = sentence_case(task.label(first.name).text)
    return (
        f"{subject} would miss a fourfold rise in {name(task.name)}: dense has {dense}, "
        f"and {rise} would often be missed with {counted(most.n, 'item')}. {heads}"
    )


def as_ratio(study: StudyView, contrast: Contrast) -> str:
    """Return a gap as ratios, dense's and the arm's: `; ratio 1.210 → 1.172`. Empty for metrics without a ratio."""
    metrics = study.task(contrast.task).metrics
    ratio_metric = next((metric.ratio_metric for metric in metrics if metric.name == contrast.metric), None)
    ratio = study.contrast(contrast.arm, contrast.task, ratio_metric or "", contrast.group)
    if ratio is None or ratio.dense is None or ratio.value is None:
        return ""
    return f"; ratio {ratio.dense:.3f} → {ratio.value:.3f}"
