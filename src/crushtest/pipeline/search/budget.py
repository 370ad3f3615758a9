"""What a search's budget says of which tasks, and whether a candidate could pass it at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from crushtest.errors import UnknownName, UsageError
from crushtest.gate.checks import metrics_of_tasks
from crushtest.gate.policy import Policy, Rule
from crushtest.metrics import ALL
from crushtest.pipeline.search.request import SearchRequest
from crushtest.pipeline.stop_rules import bound_metrics
from crushtest.printing import quoted
from crushtest.records import DENSE, Item
from crushtest.results import Estimate
from crushtest.stats.effects import BAD, room_for_harm
from crushtest.stats.harm_bounds import ROUNDING
from crushtest.study.plan import Plan
from crushtest.study.spec import Half


class Budgets(NamedTuple):
    """The texts of the policies of a search's studies.

    screen   of the search half
    verify   of the other half
    other    of the tasks that are asked in the verification alone; None if there are none
    """

    screen: str
    verify: str
    other: str | None


def budgets_of(request: SearchRequest, plan: Plan, other: Plan | None) -> Budgets:
    """Return the budget of each study: with other tasks each has the rules about its own tasks, and `never` the halves.

    Raises UsageError if the halves, or one of the other tasks, have no rule.
    """
    policy = request.policy
    if other is None:
        return Budgets(request.budget, as_verified(policy), None)
    own = [rule for rule in policy.rules if rule.never is not None or is_bound(rule, plan)]
    if not any(is_bound(rule, plan) for rule in own):
        raise UsageError("budget: no rule is about a task of the search; only those of --verify have rules")
    for planned in other.tasks:
        if not any(is_about_task(rule, other, planned.name) for rule in policy.rules):
            raise UsageError(f"verify: no rule of the budget is about {planned.name!r}; add one, or leave the task out")
    last = [rule for rule in policy.rules if is_bound(rule, other)]
    return Budgets(_text(policy, own), as_verified(policy, own), as_verified(policy, last))


def is_bound(rule: Rule, plan: Plan) -> bool:
    """Return whether a rule is about some task of a plan."""
    return any(is_about_task(rule, plan, planned.name) for planned in plan.tasks)


def is_about_task(rule: Rule, plan: Plan, task: str) -> bool:
    """Return whether a rule is about a metric of a task of a plan."""
    metrics = metrics_of_tasks(plan)
    return any(planned.name == task and bound_metrics(rule, planned, metrics[task]) for planned in plan.tasks)


def check_budget(
    request: SearchRequest,
    plan: Plan,
    halves: Mapping[Half, Mapping[str, Sequence[Item]]],
    other: Plan | None = None,
    asked_last: Mapping[str, Sequence[Item]] = MappingProxyType({}),
) -> None:
    """Raise UsageError for a rule that no candidate could ever pass: no task has what it is about, or too few items.

    other, asked_last   the tasks that are asked in the verification alone, and their items
    """
    plans = [plan] if other is None else [plan, other]
    for number, rule in enumerate(request.policy.rules, start=1):
        if rule.never is None and not any(is_bound(rule, each) for each in plans):
            raise _about_nothing(number, rule, plans)
        for half, items in halves.items():
            _check_counts(number, rule, plan, items, f"the half {half!r}")
        if other is not None:
            _check_counts(number, rule, other, asked_last, "what is asked in the verification alone")


def _about_nothing(number: int, rule: Rule, plans: Sequence[Plan]) -> UsageError:
    """Return the error for a rule that is about nothing: a name that is unknown, or what no task has."""
    known = {task: metrics for plan in plans for task, metrics in metrics_of_tasks(plan).items()}
    if rule.task in known and "*" not in rule.metric and rule.metric not in known[rule.task]:
        return UnknownName("metric", rule.metric, known[rule.task], where=f"budget: rule {number}, {rule.task}")
    near = get_close_matches(rule.task, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near and rule.task not in known else ""
    return UsageError(
        f"budget: rule {number} ({quoted(str(rule))}) cannot pass: no task of the search has what it is about "
        f"(its tasks: {', '.join(known)}){hint or '. Add the task with --suite, or leave the rule out'}"
    )


def _check_counts(number: int, rule: Rule, plan: Plan, items: Mapping[str, Sequence[Item]], where: str) -> None:
    metrics = metrics_of_tasks(plan)
    for planned in plan.tasks:
        for name in bound_metrics(rule, planned, metrics[planned.name]):
            metric = metrics[planned.name][name]
            about = [item for item in items[planned.name] if name == metric.name and metric.applies_to(item)]
            if name == metric.name and rule.group == ALL and (why := _too_few(rule, about)):
                raise UsageError(
                    f"budget: rule {number} ({quoted(str(rule))}) cannot pass: {where} of {planned.name!r} has "
                    f"{why}. Lower it in a policy file of your own, or take more items (--suite, --limit)"
                )


def check_room(request: SearchRequest, plan: Plan, dense: Iterable[Estimate]) -> None:
    """Raise UsageError for a rule that no candidate could ever pass: dense is where nothing can be lost.

    dense   what the dense arm measured on the search half
    """
    values = {(row.task, row.metric): row.value for row in dense if row.arm == DENSE and row.group == ALL}
    metrics = metrics_of_tasks(plan)
    for number, rule in enumerate(request.policy.rules, start=1):
        for planned in plan.tasks:
            for name in bound_metrics(rule, planned, metrics[planned.name]):
                metric, value = metrics[planned.name][name], values.get((planned.name, name))
                if rule.group != ALL or rule.margin is None or value is None or metric.bounds is None:
                    continue
                room = room_for_harm(value, metric.bounds, rule.direction or BAD[metric.better])
                if name == metric.name and rule.margin.of(value) >= room - ROUNDING:
                    raise UsageError(
                        f"budget: rule {number} ({quoted(str(rule))}) cannot pass: dense is at {value:.4g} in "
                        f"{planned.name!r} ({name}), from where nothing can get worse by more than the margin. Take a "
                        "smaller margin, or leave the rule out"
                    )


def _too_few(rule: Rule, items: Sequence[Item]) -> str | None:
    clusters = len({item.unit for item in items})
    if len(items) < rule.min_items:
        return f"{len(items)} items for {rule.metric}, and the rule's min_items is {rule.min_items}"
    if clusters < rule.min_clusters:
        return f"{clusters} clusters for {rule.metric}, and the rule's min_clusters is {rule.min_clusters}"
    return None


def as_verified(policy: Policy, rules: Sequence[Rule] | None = None) -> str:
    """Return the text of a policy's rules in which every margin must be shown to be kept: `sure: equivalence`.

    rules   those that stand in it; None: all
    """
    return _text(policy, policy.rules if rules is None else rules, sure="equivalence")


def _text(policy: Policy, rules: Sequence[Rule], *, sure: str | None = None) -> str:
    settings = [dict(_settings(rule, sure)) for rule in rules]
    return yaml.safe_dump({"summary": policy.summary, "rules": settings}, sort_keys=False, allow_unicode=True)


def _settings(rule: Rule, sure: str | None) -> Iterator[tuple[str, Any]]:
    yield from rule.model_dump(exclude={"margin", "sure"}, exclude_unset=True).items()
    if rule.margin is not None:
        yield "margin", f"{100 * rule.margin.size!r}%" if rule.margin.relative else rule.margin.size
        yield "sure", sure or rule.sure
