"""A policy: what a compressed model may lose, as rules for `crushtest gate`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from math import inf, nan
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from crushtest.errors import UnknownName, UsageError
from crushtest.files.strict_yaml import parse_yaml, read_yaml
from crushtest.metrics import ALL, Role
from crushtest.printing import quoted
from crushtest.records import DENSE
from crushtest.registry import EARLIER_DIMENSIONS, Dimension, explain, reject_unknown
from crushtest.stats.effects import Direction
from crushtest.stats.hidden_harm import HIDDEN_HARM
from crushtest.stats.rates import FEWEST_TESTABLE

WORST = "worst"


def _relative(value: object) -> object:
    """Read `5%` as 0.05 of the dense value, and a number as an absolute margin; a margin stays as it is."""
    if isinstance(value, Margin):
        return value
    text = value[:-1] if isinstance(value, str) and value.endswith("%") else value
    try:
        size = float(text) / (1 if text is value else 100)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        size = nan
    if isinstance(value, bool) or (isinstance(value, str) and text is value) or not 0 <= size < inf:
        raise ValueError("be a number of at least 0, or a share of the dense value such as 5%")
    return Margin(size=size, relative=text is not value)


def _dimension(value: object) -> object:
    """Read what a dimension was called before as its name."""
    return EARLIER_DIMENSIONS.get(value, value) if isinstance(value, str) else value


class Margin(BaseModel):
    """How much harm is allowed, in the metric's own unit or as a share of the dense value."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: float = Field(ge=0, allow_inf_nan=False)
    relative: bool = False

    def of(self, dense: float) -> float:
        """Return the margin in the metric's unit."""
        return self.size * abs(dense) if self.relative else self.size

    def __str__(self) -> str:
        return f"{self.size:.4g}" if not self.relative else f"{self.size:.4%}".rstrip("0%").rstrip(".") + "%"


class Rule(BaseModel):
    """One rule. Every contrast that it matches must keep it; if it matches none, the gate cannot pass.

    never        a verdict that no arm may have: `hidden harm`. Such a rule takes `arm` and `against`, and no other key;
                 the margins of quality are those of the policy's rules about them
    task, metric, arm   names, `*` and `?` allowed
    dimension    only tasks of this dimension
    role         only measures of this role that head their task (`metrics.Role`)
    group        `all`, a group or a pattern (`Age=*`), or `worst`: every group of the metric, searched for the worst;
                 groups that the suite cannot judge are left out and named
    against      the arm that the rule's arms are compared with, by its name
    margin       harm allowed: `0.02`, or `5%` of the dense value. A rule without `margin` and `max_flips` only
                 requires items
    direction    which change is harm: `rise`, `fall`, `move` (either way), `from_zero`. Default: as the metric says
    sure         `regression`: fail when the 95% interval lies wholly beyond the margin, pass otherwise;
                 `equivalence`: pass when the one-sided 95% bound lies within the margin, fail as above, and otherwise
                 be inconclusive
    max_flips    largest share of the answers that may change, in either direction; with a margin or alone
    min_items    scored items that every row needs
    min_clusters clusters (templates, contexts, persons) that every row needs; with fewer than six no exact paired
                 test reaches 0.05
    max_unscored share of the items that may have no score
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    metric: str = ""
    never: Literal["hidden harm"] | None = None
    task: str = "*"
    dimension: Annotated[Dimension | None, BeforeValidator(_dimension)] = None
    role: Role | None = None
    group: str = ALL
    arm: str = "*"
    against: str = DENSE
    margin: Annotated[Margin | None, BeforeValidator(_relative)] = None
    direction: Direction | None = None
    sure: Literal["regression", "equivalence"] = "regression"
    max_flips: float | None = Field(default=None, ge=0, le=1)
    min_items: int = Field(default=100, ge=1)
    min_clusters: int = Field(default=FEWEST_TESTABLE, ge=1)
    max_unscored: float = Field(default=0.05, ge=0, le=1)

    def __str__(self) -> str:
        if self.never is not None:
            return f"never {self.never}" + ("" if self.against == DENSE else f", against {self.against}")
        metric = self.metric if self.role is None else f"{self.metric} (headlines of {self.role})"
        task = self.task if self.dimension is None else f"{self.task} ({self.dimension})"
        what = f"{metric} of {task}" + ("" if self.group == ALL else f", {self.group}")
        what += "" if self.against == DENSE else f", against {self.against}"
        flips = None if self.max_flips is None else f"at most {self.max_flips:.4g} of the answers change"
        if self.margin is None:
            return f"{what}: {flips or f'at least {self.min_items} items'}"
        change = {
            "rise": "rises by",
            "fall": "falls by",
            "move": "moves by",
            "from_zero": "moves from 0 by",
            None: "gets worse by",
        }[self.direction]
        proven = "shown: " if self.sure == "equivalence" else ""
        return f"{proven}{what} {change} at most {self.margin}" + (f"; {flips}" if flips else "")


class Policy(BaseModel):
    """A named list of rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[Rule, ...] = Field(min_length=1)
    summary: str = ""


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file, for editors."""
    schema = Policy.model_json_schema()
    share = {"type": "string", "pattern": r"^\d+(\.\d+)?%$", "description": "A share of the dense value, such as 5%"}
    margin = {"anyOf": [{"type": "number", "minimum": 0}, share], "description": "How much harm is allowed"}
    schema["$defs"]["Rule"]["properties"]["margin"] = margin
    del schema["$defs"]["Margin"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A policy of crushtest"}


def policies() -> dict[str, str]:
    """Return the ready-made policies: name -> the text of its file."""
    folder = files("crushtest.gate.policies")
    return {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }


def read_policy(name: str) -> Policy:
    """Return the policy in a file, or the ready-made one of that name.

    Raises UsageError, in one line, for an invalid policy, an unknown key or an empty list of rules.
    """
    path = Path(name)
    if path.is_file():
        return _policy(read_yaml(path, f"policy {name!r}"), where=f"policy {name!r}")
    ready = policies()
    if name in ready:
        return parse_policy(ready[name], where=f"policy {name!r}")
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise UsageError(f"policy {name!r}: no such file")
    raise UnknownName("policy", name, ready)


def parse_policy(text: str, *, where: str) -> Policy:
    """Parse a policy from the text of its file."""
    return _policy(parse_yaml(text, where), where=where)


def lacking_or_superfluous(rule: Mapping[str, Any], where: str) -> None:
    """Raise UsageError for a rule without a metric, or for one on a verdict that has keys about metrics."""
    if rule.get("never") is None and not rule.get("metric"):
        raise UsageError(f"{where}: metric is missing; name one, or a verdict with `never: {HIDDEN_HARM}`")
    more = [key for key in rule if key not in ("never", "arm", "against")]
    if rule.get("never") is not None and more:
        raise UsageError(f"{where}: `never` takes `arm` and `against` alone (got {', '.join(map(quoted, more))})")


def _policy(content: Any, *, where: str) -> Policy:
    if not isinstance(content, dict):
        raise UsageError(f"{where} must hold `rules:` and a list (got {type(content).__name__})")
    reject_unknown(content, Policy, where)
    rules = content.get("rules")
    if not isinstance(rules, list):
        raise UsageError(f"{where}: `rules:` must be a list of rules (got {quoted(rules)})")
    for number, rule in enumerate(rules, start=1):
        if isinstance(rule, dict):
            reject_unknown(rule, Rule, f"{where}: rule {number}")
            lacking_or_superfluous(rule, f"{where}: rule {number}")
            if rule.get("group") == WORST and rule.get("direction"):
                raise UsageError(f"{where}: rule {number}: group 'worst' takes no direction: it uses the metric's own")
    try:
        return Policy(**content)
    except ValidationError as error:
        numbered = re.sub(r"\brules\.(\d+)\.", lambda place: f"rule {int(place[1]) + 1}: ", explain(error))
        raise UsageError(f"{where}: {numbered}") from None
