"""What a gate says of a study, handed to the page by whoever ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crushtest.report.untrusted import name, visible
from crushtest.report.wording import counted, listed

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView

MOST_BROKEN = 3


@dataclass(frozen=True)
class ArmJudged:
    """One arm by a policy.

    outcome    passed, regression or inconclusive
    broken     (task, metric) of each row that broke a rule; without a task, the rule
    undecided  how many rules could not be decided
    """

    outcome: str
    broken: tuple[tuple[str, str], ...] = ()
    undecided: int = 0


@dataclass(frozen=True)
class Judged:
    """A study by a policy. `problem` says why it could not be judged; empty if it was."""

    policy: str
    outcome: str
    arms: Mapping[str, ArmJudged] = field(default_factory=dict)
    problem: str = ""

    @property
    def sentence(self) -> str:
        """Return the outcome in words, with how many variants had which."""
        if self.problem:
            return f"not known: {visible(self.problem)}"
        outcomes = [each.outcome for each in self.arms.values()]
        counts = {outcome: outcomes.count(outcome) for outcome in ("regression", "inconclusive", "passed")}
        words = {"regression": "broke a rule", "inconclusive": "could not be decided", "passed": "passed"}
        parts = [f"{count} {words[outcome]}" for outcome, count in counts.items() if count]
        of = counted(len(outcomes), "variant")
        return f"{self.outcome}. Of {of}, {listed(parts)}." if len(outcomes) > 1 else f"{self.outcome}."

    def details(self, study: StudyView, arm: str) -> str:
        """Return which measures of an arm broke a rule and how many rules are undecided; empty if it passed."""
        judged = self.arms.get(arm)
        if judged is None:
            return ""
        broken = list(dict.fromkeys(_label(study, task, metric) for task, metric in judged.broken))
        more = len(broken) - MOST_BROKEN
        parts = [", ".join(broken[:MOST_BROKEN]) + (f" and {more} more" if more > 0 else "")] if broken else []
        parts += [f"{judged.undecided} undecided"] if judged.undecided else []
        return "; ".join(parts)


def _label(study: StudyView, task: str, metric: str) -> str:
    return study.task(task).label(metric).text if task else name(metric)
