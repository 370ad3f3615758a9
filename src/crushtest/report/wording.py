"""The names of metrics, groups and directions for readers, and what 0 and 1 mean."""

from __future__ import annotations

from typing import NamedTuple

from crushtest.metrics import AGAINST_REST, GAP, WORST, Metric
from crushtest.metrics import ALL as ALL  # exported for readers of the report's words
from crushtest.records import Better
from crushtest.stats.verdicts import counted as counted

DIMENSION_MEANING = {
    "representational harm": "Does the model fall back on stereotypes when a question leaves room for them?",
    "degeneration harm": "What does the model write when it goes on from an ordinary prompt?",
    "refusal": "Does the model refuse what it should, answer what it should, and tell the two apart?",
    "language and dialect": "Is the model worse at one language or variety than at another that says the same?",
    "language modelling": "How well does the model still predict ordinary English?",
    "downstream quality": "What does the model still know and manage to do?",
}
DIMENSION_ORDER = tuple(DIMENSION_MEANING)

DIRECTIONS: dict[Better, str] = {
    "lower": "lower is better",
    "higher": "higher is better",
    "zero": "nearer to 0 is better",
    "neither": "no direction is better",
}


class Label(NamedTuple):
    """A metric's name for readers, and one sentence on what its numbers mean."""

    text: str
    meaning: str


DERIVED = {
    GAP: Label("largest gap between groups", "Largest minus smallest value over the groups of an attribute"),
    WORST: Label("worst group", "The group of an attribute with the largest harm"),
    AGAINST_REST: Label(
        "against the rest", "A group's value minus the value of all other groups of its attribute; 0: no difference"
    ),
}
"""Suffix of a metric's name -> what its label gains for rows that are derived from the metric's groups."""


def label_of(name: str, metric: Metric | None) -> Label:
    """Return the label of the row `name`, which reports `metric` or is derived from it; `name` in words without one."""
    if metric is None:
        return Label(name.replace("_", " "), "")
    label = Label(metric.label or metric.name.replace("_", " "), metric.meaning)
    if name == metric.name:
        return label
    derived = DERIVED[name.removeprefix(metric.name)]
    return Label(f"{label.text}: {derived.text}", f"{derived.meaning}. {label.meaning}".strip())


def base_metric(metric: str) -> str:
    """Return the metric that a derived row (`_gap`, `_worst`) is made from."""
    return metric.removesuffix("_gap").removesuffix("_worst")


def group_text(group: str) -> str:
    """Return `attribute=value` for readers: `attribute: value`."""
    attribute, equals, value = group.partition("=")
    if not equals:
        return "all items" if group == ALL else attribute.replace("_", " ")
    return f"{attribute.replace('_', ' ')}: {value.replace('_', ' ')}"


def sentence_case(text: str) -> str:
    """Return the text with a capital first letter, for headings and rows."""
    return text[:1].upper() + text[1:]


def attribute_of(group: str) -> str:
    """Return the attribute of a group; empty for `all`."""
    return "" if group == ALL else group.partition("=")[0]


def value_of(group: str) -> str:
    """Return the value of a group, without its attribute."""
    return group.partition("=")[2].replace("_", " ") or group_text(group)


def listed(parts: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def variants_named(names: list[str]) -> str:
    """Return names of variants as `listed` does; of more than five, the first three and how many others there are."""
    return listed(names if len(names) <= 5 else [*names[:3], counted(len(names) - 3, "other variant")])
