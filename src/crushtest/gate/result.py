"""The result of a gate: checks, their joint outcome, and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crushtest.gate.policy import Rule
from crushtest.results import Contrast
from crushtest.stats.harm_bounds import Harm

Outcome = Literal["passed", "regression", "inconclusive"]
CheckOutcome = Literal["passed", "regression", "inconclusive", "left out"]
EXIT_CODES: dict[Outcome, int] = {"passed": 0, "regression": 3, "inconclusive": 4}


@dataclass(frozen=True)
class Check:
    """One rule on one contrast; on none if `row` is None.

    outcome    `left out`: groups that the suite cannot judge, under `group: worst`; it decides nothing
    seen       what the rule found, in words
    enough     about how many clusters would have decided it, if that can be computed
    left_out   group -> why the suite cannot judge it
    open       whether the arm's unasked items could still decide it
    """

    number: int
    rule: Rule
    arm: str
    outcome: CheckOutcome
    seen: str
    row: Contrast | None = None
    harm: Harm | None = None
    enough: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    open: bool = False


@dataclass(frozen=True)
class GateResult:
    """All checks of a gate."""

    study: str
    policy: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """Return `regression` if any check is one, `passed` if every deciding check is, else `inconclusive`."""
        outcomes = {check.outcome for check in self.checks} - {"left out"}
        if "regression" in outcomes:
            return "regression"
        return "passed" if outcomes == {"passed"} else "inconclusive"

    @property
    def exit_code(self) -> int:
        """Return 0 for passed, 3 for regression, 4 for inconclusive."""
        return EXIT_CODES[self.outcome]
