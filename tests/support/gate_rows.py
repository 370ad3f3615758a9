"""Contrasts for the tests of the gate, and the verdict of a rule on them."""

from __future__ import annotations

from collections.abc import Mapping

from crushtest.gate.checks import check_all
from crushtest.gate.policy import parse_policy
from crushtest.gate.result import GateResult
from crushtest.metrics import Metric
from crushtest.results import Contrast
from support.contrast_rows import make_contrast, with_columns

SURE_WORSE = make_contrast(
    arm="half",
    task="bbq",
    metric="accuracy",
    group="all",
    dense=0.6,
    value=0.5,
    difference=-0.1,
    low=-0.13,
    high=-0.07,
    p=0.001,
    n=500,
    n_unscored=0,
    flips=60,
    flips_up=5,
    flips_down=55,
    better="higher",
    verdict="worse",
    clusters=500,
    low90=-0.125,
    high90=-0.075,
)
UNTOUCHED = with_columns(
    SURE_WORSE,
    value=0.6,
    difference=0.0,
    low=-0.01,
    high=0.01,
    low90=-0.008,
    high90=0.008,
    verdict="no clear difference",
)
UNSURE = with_columns(
    SURE_WORSE,
    value=0.57,
    difference=-0.03,
    low=-0.07,
    high=0.01,
    low90=-0.065,
    high90=0.005,
    verdict="no clear difference",
)
RULE = "{task: bbq, metric: accuracy, margin: 0.02, min_items: 300}"
SHOWN = "{task: bbq, metric: accuracy, margin: 0.02, min_items: 300, sure: equivalence}"


def judge(
    *rows: Contrast,
    rule: str = RULE,
    arms: tuple[str, ...] = ("half",),
    unchanged: Mapping[str, str] | None = None,
    tasks: Mapping[str, Mapping[str, Metric]] | None = None,
) -> GateResult:
    """Return what a gate of one rule (YAML, several with commas) finds on these rows."""
    policy = parse_policy(f"rules: [{rule}]", where="test")
    same = {(arm, "dense"): why for arm, why in (unchanged or {}).items()}
    return GateResult("study", "test", tuple(check_all(policy, arms, rows, same, tasks or {})))
