"""What a study could not test: how many comparisons, why, and of which groups."""

from __future__ import annotations

from collections import defaultdict

from crushtest.report.study_view import ArmView, StudyView, TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, group_text

MOST_NAMES = 4


def untested(study: StudyView, task: TaskView, arms: tuple[ArmView, ...]) -> str:
    """Count the comparisons of a task that have a difference but no test, and name them; empty where all were tested.

    `12 of 190 comparisons cannot be tested. Too few clusters, 5 (12): age: old, religion: Jewish.`
    """
    names = {arm.name for arm in arms}
    rows = [row for row in study.contrasts.values() if row.task == task.name and row.arm in names]
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.verdict == "inconclusive":
            reasons[row.reason or "no interval"].append(group_text(row.worst or row.group))
    if not reasons:
        return ""
    count = sum(map(len, reasons.values()))
    parts = [f"{reason} ({len(groups)}): {_named(groups)}" for reason, groups in sorted(reasons.items())]
    return f"{count:,} of {counted(len(rows), 'comparison')} cannot be tested. {'. '.join(parts)}."


def _named(groups: list[str]) -> str:
    """Each group once, a few by name and the others by their number."""
    names = list(dict.fromkeys(map(name, groups)))
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {counted(more, 'other group')}" if more > 0 else "")
