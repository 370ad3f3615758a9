"""The policy that arms stop by: its rules, how they share the error, and what no part of the items can settle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crushtest.errors import StoreError, UsageError
from crushtest.files.regular import sha256
from crushtest.gate.checks import metrics_of_tasks
from crushtest.gate.matching import counts, is_about, matches
from crushtest.gate.policy import Policy, Rule, read_policy
from crushtest.metrics import AGAINST_REST, ALL, GAP, Metric
from crushtest.records import DENSE, Item
from crushtest.stats.metric_kind import is_over_items
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.spec import StopEarlySpec
from crushtest.study.stops import stops_of

SECTION = "stop_early"
"""The section of the manifest about the policy."""
STOPS = "stops"
"""The section that says where each arm stopped, task by task, and which rules kept it running."""


POLICY = "policy"
"""Its entry: the policy's name and digest, and how many verdicts share the error."""


def rules_of(spec: StopEarlySpec) -> Policy:
    """Return the policy that arms stop by. Raises UsageError if it cannot be read."""
    return read_policy(spec.policy)


def bound_metrics(rule: Rule, planned: PlannedTask, metrics: Mapping[str, Metric]) -> list[str]:
    """Return the names of a task's rows that a rule is about."""
    tasks = {planned.name: planned}
    if rule.never is not None or not is_about(rule, planned.name, tasks):
        return []
    return [name for name in metrics if counts(rule, planned.name, name, tasks)]


def sharing(policy: Policy, plan: Plan) -> int:
    """Return how many verdicts share the error: every limit of every rule on every metric that it matches.

    A rule on groups and on all items, such as `group: "*"`, counts twice: a metric's groups share one part.
    """
    tasks = metrics_of_tasks(plan)
    shared = 0
    for rule in policy.rules:
        limits = sum(limit is not None for limit in (rule.margin, rule.max_flips))
        parts = 2 if rule.group != ALL and matches(ALL, rule.group) else 1
        shared += limits * parts * sum(len(bound_metrics(rule, planned, tasks[planned.name])) for planned in plan.tasks)
    return max(1, shared)


def never_settled(plan: Plan) -> dict[str, list[str]]:
    """Return task -> what keeps it running to the last item: rules that part of the items can never settle."""
    if plan.stop_early is None:
        return {}
    tasks, reasons = metrics_of_tasks(plan), dict[str, list[str]]()
    for rule in rules_of(plan.stop_early).rules:
        for planned in plan.tasks:
            if rule.never is not None:
                reasons.setdefault(planned.name, []).append(f"{rule.never} (judged on whole tasks)")
            for name in bound_metrics(rule, planned, tasks[planned.name]):
                why = _why_never(rule, name, tasks[planned.name][name])
                if not why and plan.stop_early.bounds == "exact" and (rule.margin, rule.max_flips) != (None, None):
                    why = why_not_exact(tasks[planned.name][name], tasks[planned.name])
                if why:
                    reasons.setdefault(planned.name, []).append(f"{name} ({why})")
    return reasons


def on_no_task(plan: Plan) -> str:
    """Return a line that names the rules which nothing in the study can settle; empty if every one has a task."""
    if plan.stop_early is None:
        return ""
    tasks = metrics_of_tasks(plan)
    lacking = [
        str(number)
        for number, rule in enumerate(rules_of(plan.stop_early).rules, start=1)
        if rule.never is None and not any(bound_metrics(rule, each, tasks[each.name]) for each in plan.tasks)
    ]
    which = f"rule{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}"
    return f"stop_early: no task of the study has what {which} of the policy needs" if lacking else ""


def not_judged(plan: Plan, items: Mapping[str, Sequence[Item]]) -> Iterator[str]:
    """Yield a line about the rules without a task, and one per rule and task with fewer items than the rule needs."""
    if plan.stop_early is None:
        return
    if line := on_no_task(plan):
        yield line
    tasks = metrics_of_tasks(plan)
    for number, rule in enumerate(rules_of(plan.stop_early).rules, start=1):
        for planned in plan.tasks:
            count = len(items[planned.name])
            if count < rule.min_items and bound_metrics(rule, planned, tasks[planned.name]):
                yield f"stop_early: rule {number} needs {rule.min_items} items of {planned.name}, which has {count}"


def _why_never(rule: Rule, name: str, metric: Metric) -> str:
    if rule.against != DENSE:
        return f"compared with {rule.against}"
    if name != metric.name and name.endswith((GAP, AGAINST_REST)):
        return "a gap between groups"
    if metric.interval == "jackknife" or metric.cell_of is not None:
        return "a jackknife over cells"
    if metric.item_sums:
        return "a formula over counts of outcomes"
    return ""


def why_not_exact(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    """Return why no look has exact bounds of a metric, or of one that says whether it is valid."""
    for each in (metric, *(metrics[name] for name in metric.valid_if)):
        if each.bounds is None or not is_over_items(each):
            return "no exact bounds" if each is metric else f"valid only if {each.name} is, which has no exact bounds"
    return ""


def check_rules(plan: Plan) -> None:
    """Raise UsageError if the policy that arms stop by cannot be read, or has no rule on any task of the study."""
    if plan.stop_early is None:
        return
    policy, tasks = rules_of(plan.stop_early), metrics_of_tasks(plan)
    if not any(bound_metrics(rule, planned, tasks[planned.name]) for rule in policy.rules for planned in plan.tasks):
        raise UsageError(f"stop_early: policy {plan.stop_early.policy!r} has no rule on any task of the study")


def note_policy(folder: StudyFolder, plan: Plan) -> None:
    """Record the policy that arms stop by. Raises StoreError if the study has begun with another one."""
    if plan.stop_early is None:
        return
    policy = rules_of(plan.stop_early)
    facts = {"sha256": sha256(policy.model_dump_json().encode()), "sharing": sharing(policy, plan)}
    noted = manifest.read(folder.manifest).get(SECTION, {}).get(POLICY, {})
    for fact, what in {"sha256": "has other rules", "sharing": "has rules on other tasks"}.items():
        if noted.get(fact, facts[fact]) != facts[fact]:
            raise StoreError(
                f"{folder.root}: the policy {plan.stop_early.policy!r} {what} than when the study began, and these say "
                "where arms stop; use another --out, or what it began with"
            )
    if not noted:
        manifest.update(folder.manifest, SECTION, POLICY, {"name": plan.stop_early.policy, **facts})


def forget_finished(folder: StudyFolder, plan: Plan) -> None:
    """Remove where arms stopped that have gone on to the full run; what was open at their last look stays."""
    stops, noted = stops_of(folder, plan), manifest.read(folder.manifest).get(STOPS, {})
    true = {
        arm: {task: facts for task, facts in tasks.items() if facts["because"] == "open" or (arm, task) in stops}
        for arm, tasks in noted.items()
    }
    manifest.set_section(folder.manifest, STOPS, {arm: tasks for arm, tasks in true.items() if tasks})


def sharing_of(folder: StudyFolder, plan: Plan) -> int:
    """Return how many verdicts share the error, as the study noted when it began: its policy may be gone."""
    noted = manifest.read(folder.manifest).get(SECTION, {}).get(POLICY, {})
    if "sharing" in noted:
        return int(noted["sharing"])
    return 1 if plan.stop_early is None else sharing(rules_of(plan.stop_early), plan)
