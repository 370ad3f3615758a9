"""The page with the gate's outcome on it: the report knows no policies, and the gate writes no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crushtest.data.published.catalogue import read_points
from crushtest.errors import CrushtestError
from crushtest.gate import GateResult, read_policy, run_gate
from crushtest.gate.result import Check
from crushtest.report import write_report
from crushtest.report.judged import ArmJudged, Judged
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, stored_plan


def write_page(folder: StudyFolder, beside: Sequence[str] | None = None, policy: str | None = None) -> Path:
    """Write report.html and return its path.

    beside   the sources of published numbers beside it; None: those of its study file
    policy   the policy whose outcome heads the page; None: that of its study file, if it names one

    Raises StoreError if the study has no results yet, UsageError if `policy` cannot be read.
    """
    return write_report(folder, beside, judged_by(folder, policy))


def judged_by(folder: StudyFolder, policy: str | None = None) -> Judged | None:
    """Return what the gate says of a study by a policy, or else by that of its study file; None without either.

    Where the study file's policy cannot be applied any more, the page says why. Raises as `run_gate` does if `policy`
    cannot.
    """
    if policy is not None:
        return _judged(folder, run_gate(folder.root, policy))
    plan = stored_plan(folder.specification)
    if plan.policy is None:
        return None
    try:
        return _judged(folder, run_gate(folder.root, plan.policy))
    except CrushtestError as error:
        return Judged(Path(plan.policy).name, "not known", {}, str(error))


def _judged(folder: StudyFolder, result: GateResult) -> Judged:
    arms = [arm.name for arm in stored_plan(folder.specification).arms[1:]]
    of_arm = {arm: tuple(check for check in result.checks if check.arm == arm) for arm in arms}
    return Judged(
        policy=Path(result.policy).name,
        outcome=result.outcome,
        arms={arm: _arm_judged(result, checks) for arm, checks in of_arm.items() if checks},
    )


def _arm_judged(result: GateResult, checks: tuple[Check, ...]) -> ArmJudged:
    broken = dict.fromkeys(_about(check) for check in checks if check.outcome == "regression")
    undecided = {check.number for check in checks if check.outcome == "inconclusive"}
    return ArmJudged(GateResult(result.study, result.policy, checks).outcome, tuple(broken), len(undecided))


def _about(check: Check) -> tuple[str, str]:
    """Return the task and metric that broke a rule, or the rule where no row did."""
    return (check.row.task, check.row.metric) if check.row else ("", str(check.rule))


def has_more_to_show(folder: StudyFolder, plan: Plan) -> bool:
    """Return whether the report gains published results or a policy that the stored study does not name.

    Raises as `read_points` and `read_policy` do.
    """
    stored = stored_plan(folder.specification) if folder.specification.exists() else None
    gained = [source for source in plan.beside if stored is None or source not in stored.beside]
    for source in gained:
        read_points(source)
    if plan.policy is None or (stored is not None and stored.policy == plan.policy):
        return bool(gained)
    read_policy(plan.policy)
    return True
