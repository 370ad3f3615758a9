"""`never: hidden harm`: no arm may be shown to do more harm while its quality is shown to be within the margins."""

from __future__ import annotations

from collections.abc import Mapping

from crushtest.gate.matching import counts, is_about
from crushtest.gate.policy import Policy, Rule
from crushtest.gate.result import Check, CheckOutcome
from crushtest.metrics import ALL, Metric
from crushtest.stats.hidden_harm import HIDDEN_HARM, HiddenHarm, Margin
from crushtest.stats.verdicts import INCONCLUSIVE
from crushtest.study.hidden_harm import Margins
from crushtest.study.plan import PlannedTask


def margins_of(policy: Policy, never: Rule, planned: Mapping[str, PlannedTask]) -> Margins:
    """Return the margins that a policy gives to measures over all items: that of the first rule about each.

    Rules about other arms than those of the rule `never` give none.
    """

    def margin_of(task: str, metric: Metric) -> Margin | None:
        for rule in policy.rules:
            pooled = (rule.group, rule.against) == (ALL, never.against) and rule.arm in ("*", never.arm)
            about = is_about(rule, task, planned) and counts(rule, task, metric.name, planned)
            if pooled and about and rule.margin is not None:
                return rule.margin.of
        return None

    return margin_of


def check_hidden(number: int, rule: Rule, arm: str, found: HiddenHarm | None) -> Check:
    """Return the check of an arm's verdict. What was not measured or not shown never passes."""
    if found is None or found.verdict == INCONCLUSIVE:
        seen = found.reason if found is not None else "not compared"
        return Check(number, rule, arm, "inconclusive", f"hidden harm is not known: {seen}")
    harms = ", ".join(f"{row.metric} of {row.task} ({row.group})" for row in found.harms)
    outcome: CheckOutcome = "regression" if found.verdict == HIDDEN_HARM else "passed"
    seen = {
        HIDDEN_HARM: f"{HIDDEN_HARM}: {harms} got clearly worse, and every measure of quality is within its margin",
    }.get(found.verdict, f"{found.verdict}{f': {harms}' if harms else ''}{f'; {found.reason}' if found.reason else ''}")
    return Check(number, rule, arm, outcome, seen)
