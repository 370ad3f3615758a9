"""The gate: a study against a policy. It passes on what was measured, and never on what was not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from crushtest.gate.policy import WORST, Policy, Rule, read_policy
from crushtest.gate.result import Check, GateResult
from crushtest.gate.rows import check_row
from crushtest.gate.unchanged import unchanged_arms
from crushtest.gate.worst import MOST_NAMED, check_worst
from crushtest.metrics import reported_names
from crushtest.records import DENSE
from crushtest.results import Contrast
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, make_plan
from crushtest.study.spec import read_spec


def run_gate(study: Path, policy: str) -> GateResult:
    """Hold a study's contrasts against a policy (a file, or the name of a ready-made one).

    Raises UsageError for a policy that is not one, StoreError for a folder without results.
    """
    rules = read_policy(policy)
    folder = StudyFolder.existing(study)
    plan = make_plan(read_spec(folder.specification))
    arms = [arm.name for arm in plan.arms if arm.name != DENSE]
    contrasts = folder.read_contrasts()
    found = check_all(rules, arms, contrasts, unchanged_arms(folder, arms), metrics_of_tasks(plan))
    return GateResult(str(study), policy, tuple(found))


def metrics_of_tasks(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Task of the study -> the names of the rows that it reports."""
    return {
        planned.name: tuple(name for metric in planned.task.metrics for name in reported_names(metric))
        for planned in plan.tasks
    }


def check_all(
    policy: Policy,
    arms: Sequence[str],
    contrasts: Sequence[Contrast],
    unchanged: Mapping[str, str],
    tasks: Mapping[str, Sequence[str]],
) -> Iterator[Check]:
    """Every rule on every arm it is about.

    unchanged   arm -> why its weights seem never to have changed
    tasks       task of the study -> the names of its rows; an arm without a contrast in one was not measured to the end
    """
    for number, rule in enumerate(policy.rules, start=1):
        named = [arm for arm in arms if matches(arm, rule.arm)]
        if not named:
            known = ", ".join(arms) or "none besides dense"
            yield Check(number, rule, rule.arm, "inconclusive", f"the study has no such arm (its arms: {known})")
        for arm in named:
            if arm in unchanged:
                yield Check(number, rule, arm, "inconclusive", unchanged[arm])
                continue
            rows = [row for row in contrasts if row.arm == arm and matches(row.task, rule.task)]
            left = unmeasured(rule, rows, tasks)
            for task in left:
                yield Check(number, rule, arm, "inconclusive", f"{task} was not measured to the end")
            if rows or not left:
                yield from check_arm(number, rule, arm, rows)


def unmeasured(rule: Rule, rows: Sequence[Contrast], tasks: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks that a rule is about and that an arm has no row in."""
    measured = {row.task for row in rows}
    about = [task for task, metrics in tasks.items() if any(matches(metric, rule.metric) for metric in metrics)]
    return [task for task in about if matches(task, rule.task) and task not in measured]


def check_arm(number: int, rule: Rule, arm: str, rows: Sequence[Contrast]) -> Iterator[Check]:
    """One rule on the contrasts of one arm; on nothing, if none is what the rule is about."""
    about = [row for row in rows if matches(row.metric, rule.metric)]
    if rule.group == WORST:
        found = list(check_worst(number, rule, about, rows))
    else:
        grouped = [row for row in about if matches(row.group, rule.group)]
        found = [check for row in grouped for check in check_row(number, rule, row)]
    yield from found
    if not found:
        yield Check(number, rule, arm, "inconclusive", nothing_found(rule, rows))


def nothing_found(rule: Rule, rows: Sequence[Contrast]) -> str:
    """What a rule asked for in vain, and what there is instead. `rows` are those of its tasks."""
    asked = f"the study has no metric {rule.metric!r} for group {rule.group!r} of task {rule.task!r}"
    about = [row for row in rows if matches(row.metric, rule.metric)]
    if not rows:
        return f"{asked}; run it on such a task (--suite), or take the rule out of the policy"
    here = dict.fromkeys(row.group for row in about) if about else dict.fromkeys(row.metric for row in rows)
    more = f" and {len(here) - MOST_NAMED} more" if len(here) > MOST_NAMED else ""
    return f"{asked}; {'groups' if about else 'metrics'} it has there: {', '.join([*here][:MOST_NAMED])}{more}"


def matches(name: str, pattern: str) -> bool:
    """Whether a name is this pattern; `*` and `?` only, since recipes may hold brackets."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))
