"""The gate: a study against a policy. It passes on what was measured, and never on what was not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from crushtest.gate.harm import Harm, harm_of, items_enough
from crushtest.gate.policy import WORST, Policy, Rule, read_policy
from crushtest.gate.unchanged import unchanged_arms
from crushtest.metrics import WORST as SEARCHED
from crushtest.metrics import reported_names
from crushtest.plan import Plan, make_plan, read_spec
from crushtest.records import DENSE, Contrast
from crushtest.stats.noise import WITHIN
from crushtest.stats.verdicts import ALPHA
from crushtest.store import StudyFolder

Outcome = Literal["passed", "regression", "could not be told"]
MOST_NAMED = 8
EXIT_CODES: dict[Outcome, int] = {"passed": 0, "regression": 3, "could not be told": 4}


@dataclass(frozen=True)
class Check:
    """One rule on one contrast, or on nothing (then `row` is None).

    seen     what was found, in words; `enough`: how many items would have decided it, None where no number would
    """

    number: int
    rule: Rule
    arm: str
    outcome: Outcome
    seen: str
    row: Contrast | None = None
    harm: Harm | None = None
    enough: int | None = None


@dataclass(frozen=True)
class GateResult:
    """Everything a gate found."""

    study: str
    policy: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """A regression if there is one, else not told if anything was not, else passed."""
        found = {check.outcome for check in self.checks}
        if "regression" in found:
            return "regression"
        return "passed" if found == {"passed"} else "could not be told"

    @property
    def exit_code(self) -> int:
        """0 passed, 3 regression, 4 could not be told."""
        return EXIT_CODES[self.outcome]


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
            yield Check(number, rule, rule.arm, "could not be told", f"the study has no such arm (its arms: {known})")
        for arm in named:
            if arm in unchanged:
                yield Check(number, rule, arm, "could not be told", unchanged[arm])
                continue
            rows = [row for row in contrasts if row.arm == arm and matches(row.task, rule.task)]
            left = unmeasured(rule, rows, tasks)
            for task in left:
                yield Check(number, rule, arm, "could not be told", f"{task} was not measured to the end")
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
        measured = [row for row in about if "=" in row.group and row.n + row.n_unscored > 0]
        searched = [row for row in rows if any(row.metric == group.metric + SEARCHED for group in measured)]
        spoken_for = {(row.task, row.metric, f"{row.group}=") for row in searched if row.low is not None}
        found = [
            check_row(number, rule, row, group_of_many=(row.task, row.metric + SEARCHED, _attribute(row)) in spoken_for)
            for row in measured
        ]
        found += [check_searched(number, rule, row) for row in searched]
    else:
        found = [check_row(number, rule, row) for row in about if matches(row.group, rule.group)]
    yield from found
    if not found:
        yield Check(number, rule, arm, "could not be told", nothing_found(rule, rows))


def nothing_found(rule: Rule, rows: Sequence[Contrast]) -> str:
    """What a rule asked for in vain, and what there is instead. `rows` are those of its tasks."""
    asked = f"the study has no metric {rule.metric!r} for group {rule.group!r} of task {rule.task!r}"
    about = [row for row in rows if matches(row.metric, rule.metric)]
    if not rows:
        return f"{asked}; run it on such a task (--suite), or take the rule out of the policy"
    here = dict.fromkeys(row.group for row in about) if about else dict.fromkeys(row.metric for row in rows)
    more = f" and {len(here) - MOST_NAMED} more" if len(here) > MOST_NAMED else ""
    return f"{asked}; {'groups' if about else 'metrics'} it has there: {', '.join([*here][:MOST_NAMED])}{more}"


def counted(items: int) -> str:
    """`1 item`, `2 items`."""
    return f"{items} item" if items == 1 else f"{items} items"


def _attribute(row: Contrast) -> str:
    return row.group.partition("=")[0] + "="


def check_row(number: int, rule: Rule, row: Contrast, *, group_of_many: bool = False) -> Check:
    """One rule on one contrast. `group_of_many`: whether it got worse is for the row `_worst` to say."""

    def result(outcome: Outcome, seen: str, harm: Harm | None = None, enough: int | None = None) -> Check:
        return Check(number, rule, row.arm, outcome, seen, row, harm, enough)

    total = row.n + row.n_unscored
    if row.n < rule.min_items:
        seen = f"{counted(row.n)} with a score; the rule's min_items is {rule.min_items}, since fewer tell too little"
        return result("could not be told", seen, enough=rule.min_items)
    if row.n_unscored > rule.max_unscored * total:
        share = (
            f"{row.n_unscored} of {counted(total)} without a score, the rule's max_unscored is {rule.max_unscored:.0%}"
        )
        return result("could not be told", share)
    if rule.margin is None:
        return result("passed", counted(row.n))
    harm = harm_of(row, rule.direction)
    if harm is None or row.dense is None:
        return result("could not be told", f"no interval: {row.reason or 'undefined'}")
    margin = rule.margin.of(row.dense)
    enough = items_enough(harm, margin, row.n)
    if harm.low > margin and is_clear(row) and not group_of_many:
        if row.verdict == WITHIN:
            return result("could not be told", f"beyond the margin, but {WITHIN}", harm)
        return result("regression", "worse by more than the margin", harm)
    if rule.sure == "equivalence" and not harm.high90 < margin:
        return result("could not be told", "not shown to be within the margin", harm, enough)
    if harm.high90 < margin:
        seen = "shown to be within the margin"
    elif harm.estimate <= margin:
        seen = "within the margin, but not shown to be"
    else:
        seen = "beyond the margin, but not surely"
    return result("passed", seen, harm, enough)


def is_clear(row: Contrast) -> bool:
    """Whether its p, where it has one, agrees with its interval: with few changes an interval alone is too sure."""
    return row.p is None or row.p <= ALPHA


def check_searched(number: int, rule: Rule, row: Contrast) -> Check:
    """Whether the worst group of an attribute got worse, by an interval that accounts for the search for it."""
    harm = harm_of(row, None)
    if rule.margin is None:
        return Check(number, rule, row.arm, "passed", "no margin", row, harm)
    if harm is None or row.dense is None:
        seen = f"no interval for the worst group: {row.reason or 'undefined'}"
        return Check(number, rule, row.arm, "could not be told", seen, row)
    margin = rule.margin.of(row.dense)
    if harm.low > margin and is_clear(row):
        if row.verdict == WITHIN:
            seen = f"{row.worst} is beyond the margin, but {WITHIN}"
            return Check(number, rule, row.arm, "could not be told", seen, row, harm)
        return Check(number, rule, row.arm, "regression", f"{row.worst} is worse by more than the margin", row, harm)
    seen = f"worst of its attribute is {row.worst}, not surely beyond the margin"
    return Check(number, rule, row.arm, "passed", seen, row, harm)


def matches(name: str, pattern: str) -> bool:
    """Whether a name is this pattern; `*` and `?` only, since recipes may hold brackets."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))
