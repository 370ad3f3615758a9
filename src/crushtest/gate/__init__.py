"""Check a study against a policy, for CI: 0 passed, 3 regression, 4 inconclusive."""

from crushtest.gate.checks import run_gate
from crushtest.gate.fitting import fitting_policies
from crushtest.gate.lines import as_markdown, gate_lines
from crushtest.gate.output import as_annotations, as_json, as_junit, explain_lines
from crushtest.gate.policy import policies, read_policy
from crushtest.gate.result import Check, GateResult

__all__ = [
    "Check",
    "GateResult",
    "as_annotations",
    "as_json",
    "as_junit",
    "as_markdown",
    "explain_lines",
    "fitting_policies",
    "gate_lines",
    "policies",
    "read_policy",
    "run_gate",
]
