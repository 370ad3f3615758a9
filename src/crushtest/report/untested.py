"""The comparisons that a study could not test: how many, why, and of which groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crushtest.report.arm_view import ArmView
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, group_text
from crushtest.results import Contrast
from crushtest.stats.rates import FEWEST_TESTABLE
from crushtest.stats.verdicts import INCONCLUSIVE

MOST_NAMES = 4
FEW = "fewer than six clusters"
NONE = "no interval"
MANY = "too few clusters among so many comparisons"


@dataclass(frozen=True)
class Untested:
    """A task's comparisons that have a difference but no test, by reason; `total` counts all comparisons."""

    reasons: dict[str, list[Contrast]]
    total: int

    @property
    def count(self) -> str:
        """`12 of 190 comparisons cannot be tested`; empty if all were tested."""
        count = sum(map(len, self.reasons.values()))
        return f"{count:,} of {counted(self.total, 'comparison')} cannot be tested" if count else ""

    @property
    def short(self) -> str:
        """The count with its reasons: `... (fewer than six clusters: 12)`."""
        if not self.count:
            return ""
        return f"{self.count} ({'; '.join(f'{reason}: {len(rows):,}' for reason, rows in self.reasons.items())})"

    @property
    def text(self) -> str:
        """The count, and for each reason the groups: `... Fewer than six clusters (12): age: old, religion: Jewish.`"""
        if not self.count:
            return ""
        parts = [
            f"{reason.capitalize()} ({len(rows):,}): {_named(rows)}" for reason, rows in sorted(self.reasons.items())
        ]
        return f"{self.count}. {'. '.join(parts)}."


def untested(study: StudyView, task: TaskView, arms: tuple[ArmView, ...]) -> Untested:
    """Return what cannot be tested in a task for these arms."""
    names = {arm.name for arm in arms}
    rows = [row for row in study.contrasts.values() if row.task == task.name and row.arm in names]
    reasons: dict[str, list[Contrast]] = {}
    for row in rows:
        if row.verdict == INCONCLUSIVE:
            reasons.setdefault(_reason(row), []).append(row)
    return Untested(reasons, len(rows))


def why_untested(study: StudyView) -> str:
    """Return a sentence that says why some comparisons of a study cannot be tested; empty if all were tested."""
    reasons = {_reason(row) for row in study.contrasts.values() if row.verdict == INCONCLUSIVE}
    return f"Cannot be tested: {', or '.join(sorted(reasons))}." if reasons else ""


def _reason(row: Contrast) -> str:
    if row.clusters < FEWEST_TESTABLE:
        return FEW
    return NONE if row.intervals is None else MANY


def _named(rows: Sequence[Contrast]) -> str:
    """Name each group once: the first few, and how many more there are."""
    names = list(dict.fromkeys(name(group_text(row.worst or row.group)) for row in rows))
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {counted(more, 'other group')}" if more > 0 else "")
