"""The gate: check a study against a policy. What was not measured never passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from crushtest.gate.hidden_harm import check_hidden, margins_of
from crushtest.gate.matching import counts, is_about, matches
from crushtest.gate.policy import WORST, Policy, Rule, read_policy
from crushtest.gate.result import Check, GateResult
from crushtest.gate.room import is_slip, no_room, too_wide
from crushtest.gate.rows import Cramped, check_row
from crushtest.gate.unchanged import unchanged_arms
from crushtest.gate.worst import MOST_NAMED, check_worst
from crushtest.metrics import Metric, by_reported_name, with_read
from crushtest.records import DENSE
from crushtest.results import Contrast
from crushtest.stats.hidden_harm import HiddenHarm
from crushtest.study import manifest
from crushtest.study.chain import check_rows, refuse_untied
from crushtest.study.corrections import Key, corrected_contrasts, key_of, read_corrections
from crushtest.study.folder import StudyFolder
from crushtest.study.hidden_harm import hidden_harms
from crushtest.study.plan import Plan, PlannedTask, stored_plan
from crushtest.study.stops import stops_of


def run_gate(study: Path, policy: str) -> GateResult:
    """Check a study's contrasts against a policy (a file, or the name of a ready-made one).

    Raises UsageError for an invalid policy, StoreError for a folder without usable results: files that do not fit
    together, or that do not say what they were made from.
    """
    rules = read_policy(policy)
    folder = StudyFolder.existing(study)
    plan = stored_plan(folder.specification)
    arms = [arm.name for arm in plan.arms if arm.name != DENSE]
    contrasts = folder.read_contrasts()
    refuse_untied(folder)
    check_rows(folder, plan, contrasts)
    kinds = {planned.name: planned.task.kind for planned in plan.tasks}
    unchanged = {
        (arm, against): why
        for against in dict.fromkeys(rule.against for rule in rules.rules)
        for arm, why in unchanged_arms(folder, arms, kinds, against).items()
    }
    barred = unchanged | refused(manifest.read(folder.manifest))
    by_labels = corrected_contrasts(contrasts, read_corrections(folder, plan))
    planned = {each.name: each for each in plan.tasks}
    verdicts = {
        (number, found.arm): found
        for number, rule in enumerate(rules.rules, start=1)
        if rule.never is not None
        for found in hidden_harms(
            plan.tasks, arms, contrasts, margins=margins_of(rules, rule, planned), against=rule.against
        )
    }
    ended = {
        arm: f"not asked, because a regression in {task} had ended the arm"
        for (arm, task), stop in stops_of(folder, plan).items()
        if stop.because == "regression"
    }
    checks = check_all(
        rules,
        arms,
        contrasts,
        barred,
        metrics_of_tasks(plan),
        verdicts,
        ended=ended,
        planned=planned,
        by_labels=by_labels,
    )
    return GateResult(str(study), policy, tuple(checks))


def refused(content: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return (arm, compared with) -> why that pair was not compared, according to the manifest."""
    entries = content.get("across_engines", {}).values()
    return {
        (entry["arm"], entry["against"]): f"not compared: {entry['refused']}" for entry in entries if "refused" in entry
    }


def metrics_of_tasks(plan: Plan) -> dict[str, dict[str, Metric]]:
    """Return, for each task of the study, the metric of each row that it may report, by the row's name."""
    return {planned.name: by_reported_name(with_read(planned.task.metrics)) for planned in plan.tasks}


def check_all(
    policy: Policy,
    arms: Sequence[str],
    contrasts: Sequence[Contrast],
    barred: Mapping[tuple[str, str], str],
    tasks: Mapping[str, Mapping[str, Metric]],
    verdicts: Mapping[tuple[int, str], HiddenHarm] = MappingProxyType({}),
    *,
    ended: Mapping[str, str] = MappingProxyType({}),
    planned: Mapping[str, PlannedTask] = MappingProxyType({}),
    by_labels: Mapping[Key, Contrast] = MappingProxyType({}),
) -> Iterator[Check]:
    """Yield the checks of every rule on every arm that it matches.

    barred   (arm, compared with) -> why nothing can be concluded: its weights seem unchanged, or it was not compared
    tasks    task of the study -> the metrics of its rows, by their names; an arm without a contrast in a task was not
             fully measured
    verdicts (number of a rule that says `never`, arm) -> whether that arm hides harm
    planned  task -> its dimension and headlines, for rules that select by these
    by_labels  contrasts as people's labels correct them. They are judged in place of the scorer's own
    ended    arm -> why it was not asked what is missing, if it was stopped
    """
    for number, rule in enumerate(policy.rules, start=1):
        matching = [arm for arm in arms if matches(arm, rule.arm) and arm != rule.against]
        if not matching or rule.against not in (DENSE, *arms):
            names = ", ".join(arms) or "none besides dense"
            lacking = rule.arm if rule.against in (DENSE, *arms) else rule.against
            yield Check(number, rule, lacking, "inconclusive", f"the study has no such arm (its arms: {names})")
            continue
        for arm in matching:
            if (arm, rule.against) in barred:
                yield Check(number, rule, arm, "inconclusive", barred[arm, rule.against])
                continue
            of_pair = [row for row in contrasts if (row.arm, row.against) == (arm, rule.against)]
            if not of_pair and rule.against != DENSE:
                seen = f"not compared with {rule.against} (crushtest compare --against)"
                yield Check(number, rule, arm, "inconclusive", seen)
                continue
            if rule.never is not None:
                yield check_hidden(number, rule, arm, verdicts.get((number, arm)))
                continue
            rows = [row for row in of_pair if is_about(rule, row.task, planned)]
            missing = unmeasured(rule, rows, tasks, planned)
            for task in missing:
                why = (ended or {}).get(arm, "was not fully measured")
                yield Check(number, rule, arm, "inconclusive", f"{task} {why}")
            if rows or not missing:
                yield from check_arm(number, rule, arm, rows, tasks, planned, by_labels)


def unmeasured(
    rule: Rule,
    rows: Sequence[Contrast],
    tasks: Mapping[str, Mapping[str, Metric]],
    planned: Mapping[str, PlannedTask],
) -> list[str]:
    """Return the tasks that a rule matches and that an arm has no row in."""
    measured = {row.task for row in rows}
    reporting = [
        task for task, metrics in tasks.items() if any(counts(rule, task, metric, planned) for metric in metrics)
    ]
    return [task for task in reporting if is_about(rule, task, planned) and task not in measured]


def check_arm(
    number: int,
    rule: Rule,
    arm: str,
    rows: Sequence[Contrast],
    tasks: Mapping[str, Mapping[str, Metric]],
    planned: Mapping[str, PlannedTask],
    by_labels: Mapping[Key, Contrast],
) -> Iterator[Check]:
    """Yield the checks of one rule on one arm's contrasts; one inconclusive check if the rule matches none."""
    slips: dict[str, None] = {}

    def cramped(row: Contrast) -> str | None:
        return no_room(rule, row, tasks.get(row.task, {}).get(row.metric))

    matching = []
    for row in (row for row in rows if counts(rule, row.task, row.metric, planned)):
        metric = tasks.get(row.task, {}).get(row.metric)
        if metric and is_slip(rule, row, metric):
            slips[f"{row.task} {row.metric}"] = None
        else:
            matching.append(row)
    for name in slips:
        seen = f"{name} cannot move by more than the margin, {rule.margin}, so that nothing could break the rule"
        yield Check(number, rule, arm, "inconclusive", seen)
    if rule.group == WORST:
        checks = list(check_worst(number, rule, matching, rows, cramped))
    else:
        grouped = [row for row in matching if matches(row.group, rule.group)]
        checks = [check for row in grouped for check in _by_labels(number, rule, row, by_labels, cramped)]
    for check in checks:
        yield _with_warning(check, tasks)
    if not checks and not slips:
        yield Check(number, rule, arm, "inconclusive", explain_no_match(rule, rows))


def _with_warning(check: Check, tasks: Mapping[str, Mapping[str, Metric]]) -> Check:
    """Return the check; what it saw ends with a warning if its rule's margin is larger than dense's value."""
    if check.row is None:
        return check
    wide = too_wide(check.rule, check.row, tasks.get(check.row.task, {}).get(check.row.metric))
    return replace(check, seen=check.seen + wide) if wide else check


def _by_labels(
    number: int, rule: Rule, row: Contrast, by_labels: Mapping[Key, Contrast], cramped: Cramped
) -> Iterator[Check]:
    """Yield the checks of a row; where people's labels correct it, of the corrected one, and say so."""
    corrected = by_labels.get(key_of(row)) if row.against == DENSE else None
    if corrected is None or corrected.intervals is None:
        yield from check_row(number, rule, row, cramped=cramped)
        return
    scored = "" if row.difference is None else f", where the scorer alone sees {row.difference:+.4g}"
    for check in check_row(number, rule, corrected, cramped=cramped):
        by = f" (difference corrected by {corrected.intervals.method}{scored})" if check.harm else ""
        yield replace(check, seen=f"{check.seen}{by}")


def explain_no_match(rule: Rule, rows: Sequence[Contrast]) -> str:
    """Say what a rule matched in vain, and what the study has instead. `rows` belong to the rule's tasks."""
    problem = f"the study has no metric {rule.metric!r} for group {rule.group!r} of task {rule.task!r}"
    problem += f" in dimension {rule.dimension!r}" if rule.dimension else ""
    problem += f" that heads its task with role {rule.role!r}" if rule.role else ""
    if not rows:
        return f"{problem}; run it on such a task (--suite), or remove the rule from the policy"
    groups = dict.fromkeys(row.group for row in rows if matches(row.metric, rule.metric))
    names = list(groups or dict.fromkeys(row.metric for row in rows))
    near = [] if groups else get_close_matches(rule.metric, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{problem}{meant} {'groups' if groups else 'metrics'} it has there: {', '.join(names[:MOST_NAMED])}{more}"
