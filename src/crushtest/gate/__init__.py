"""A study against a policy, for CI: 0 passed, 3 regression, 4 could not be told."""

from crushtest.gate.checks import Check, GateResult, run_gate
from crushtest.gate.output import as_annotations, as_json, as_junit, as_rows, explain_lines
from crushtest.gate.policy import policies, read_policy

__all__ = [
    "Check",
    "GateResult",
    "as_annotations",
    "as_json",
    "as_junit",
    "as_rows",
    "explain_lines",
    "policies",
    "read_policy",
    "run_gate",
]
