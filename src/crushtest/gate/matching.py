"""What a rule is about: tasks and metrics by name, dimension and role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from crushtest.gate.policy import Rule
from crushtest.study.plan import PlannedTask


def matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern; only `*` and `?` are special, since recipes may hold brackets."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def is_about(rule: Rule, task: str, planned: Mapping[str, PlannedTask]) -> bool:
    """Return whether a rule is about a task, by its name and, if the rule says so, its dimension."""
    in_dimension = rule.dimension is None or (task in planned and planned[task].dimension == rule.dimension)
    return in_dimension and matches(task, rule.task)


def counts(rule: Rule, task: str, metric: str, planned: Mapping[str, PlannedTask]) -> bool:
    """Return whether a rule is about a metric of a task, by its name and, if the rule says so, its role."""
    if rule.role is not None:
        heads = planned[task].task.headline_metrics if task in planned else ()
        if not any(each.name == metric and each.role == rule.role for each in heads):
            return False
    return matches(metric, rule.metric)
