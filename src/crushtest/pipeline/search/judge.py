"""What the budget says of candidates on one half: verdicts, and harm as a share of the rule's limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crushtest.gate.checks import run_gate
from crushtest.gate.result import Check, GateResult
from crushtest.gate.rows import margin_of
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import stored_plan
from crushtest.study.searched import Judged, Verdict

BEYOND = 1e9
"""The ratio of a harm to a limit of 0."""
MOST_WORDS = 3
WORST_FIRST: tuple[Verdict, ...] = ("regression", "inconclusive", "passed")


def judge(folder: StudyFolder, policy: str, names: Sequence[str], sizes: dict[str, float]) -> list[Judged]:
    """Return what a policy says of each of these arms of a study; a candidate is judged by its own checks alone."""
    checks = run_gate(folder.root, policy).checks
    dimensions = {planned.name: planned.dimension for planned in stored_plan(folder.specification).tasks}
    return [
        judged_by(name, [check for check in checks if check.arm == name], sizes[name], dimensions) for name in names
    ]


def judged_by(name: str, checks: Sequence[Check], size: float, dimensions: Mapping[str, str]) -> Judged:
    """Return what these checks say of a candidate; `dimensions` are those of the tasks."""
    ratios: dict[str, float] = {}
    for check in checks:
        if (share := ratio(check)) is not None and check.row is not None:
            about = dimensions[check.row.task]
            ratios[about] = max(ratios.get(about, -BEYOND), share)
    outcome = GateResult("", "", tuple(checks)).outcome
    return Judged(name=name, outcome=outcome, size=size, ratios=ratios, broke=tuple(_broke(checks)))


def worse_of(one: Judged, other: Judged) -> Judged:
    """Return what two studies say of a candidate: the worse verdict, and of each dimension the larger ratio."""
    outcomes = {one.outcome, other.outcome}
    return Judged(
        name=one.name,
        outcome=next(outcome for outcome in WORST_FIRST if outcome in outcomes),
        size=one.size,
        ratios={
            dimension: max(each.ratios[dimension] for each in (one, other) if dimension in each.ratios)
            for dimension in (*one.ratios, *other.ratios)
        },
        broke=(*one.broke, *other.broke),
    )


def ratio(check: Check) -> float | None:
    """Return a check's harm as measured, as a share of its margin, or changed answers as a share of `max_flips`.

    None for a check without either, and without an interval or enough items. Less than 0 is a change for the better.
    """
    if check.row is None:
        return None
    if check.harm is None:
        most, flips = check.rule.max_flips, check.row.flips.total
        if most is None or flips is None or check.outcome == "inconclusive":
            return None
        return _share(flips, most * check.row.n)
    margin = margin_of(check.rule, check.row)
    return None if margin is None else _share(check.harm.estimate, margin)


def _share(harm: float, limit: float) -> float:
    if limit == 0:
        return BEYOND if harm > 0 else 0.0
    return min(harm / limit, BEYOND)


def _broke(checks: Sequence[Check]) -> list[str]:
    """Return what an arm did not pass, or passed beyond the margin as measured, in a few lines; regressions first."""
    failed = [check for check in checks if check.outcome in WORST_FIRST[:2] or (ratio(check) or 0) > 1]
    failed.sort(key=lambda check: WORST_FIRST.index(check.outcome))
    lines = [f"rule {check.number}, {check.rule}: {check.seen}" for check in failed[:MOST_WORDS]]
    more = len(failed) - MOST_WORDS
    return [*lines, f"and {more} more"] if more > 0 else lines


def size_in(folder: StudyFolder, arm: str, linear_bytes: int) -> float:
    """Return the size of an arm's linear layers by its own record, as a share of what they take at 16 bits."""
    record = folder.read_compression(arm)
    assert record is not None
    totals = record["totals"]
    saved = totals["dense_model_size_bytes"] - totals["compressed_model_size_bytes"]
    return float(1 - saved / linear_bytes)
