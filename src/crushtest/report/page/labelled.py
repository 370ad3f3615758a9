"""What people's labels make of a task's measures, for the page's tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crushtest.report.bounds import interval_text
from crushtest.report.corrected import difference_text, error_texts
from crushtest.report.formats import show_difference, unit_of_difference
from crushtest.report.page.matrix import in_group
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.wording import ALL, counted, group_text
from crushtest.results import Contrast
from crushtest.study.corrections import Correction

MOST_UNCORRECTED = 4


class CorrectionRow(NamedTuple):
    """What people's labels make of one measure of an arm, as text. `errors`: name, counted wrongly, missed, per arm."""

    metric: str
    arm: str
    scored: str
    corrected: str
    errors: tuple[tuple[str, str, str], ...]


def correction_rows(study: StudyView, task: TaskView) -> Iterator[CorrectionRow]:
    """Yield a task's measures that labels correct, over all items and in each group, or why they do not.

    Groups that are not corrected share a row, which names `MOST_UNCORRECTED` of them.
    """
    uncorrected: dict[tuple[str, str], list[Correction]] = {}
    for correction in study.corrections:
        if correction.task != task.name:
            continue
        if correction.group != ALL and isinstance(correction.result, str):
            uncorrected.setdefault((correction.metric, correction.arm), []).append(correction)
            continue
        contrast = study.contrast(correction.arm, task.name, correction.metric, correction.group)
        label = task.label(correction.metric)
        yield CorrectionRow(
            (label if correction.group == ALL else in_group(label, correction.group)).text,
            correction.arm,
            _scored_text(contrast) if contrast else "not compared",
            difference_text(correction),
            error_texts(correction),
        )
    for (metric, arm), lacking in uncorrected.items():
        names = [f"{group_text(each.group)} ({each.result})" for each in lacking[:MOST_UNCORRECTED]]
        more = f"; and {len(lacking) - MOST_UNCORRECTED} more" if len(lacking) > MOST_UNCORRECTED else ""
        label_text = f"{task.label(metric).text}, {counted(len(lacking), 'group')}"
        yield CorrectionRow(label_text, arm, "", f"not corrected: {'; '.join(names)}{more}", ())


def _scored_text(contrast: Contrast) -> str:
    interval = interval_text(contrast, "rate")
    text = f"{show_difference(contrast.difference, 'rate')}{unit_of_difference('rate')}"
    return f"{text} ({interval})" if interval else text
