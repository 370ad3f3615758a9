"""What a column of the authors' files holds, in our words and in theirs; the words stand in `columns.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from crushtest.data.published.point import POOLED
from crushtest.records import Better


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric: our name or their own, its unit, the direction that they call better, and what they do otherwise."""

    metric: str
    unit: str
    better: Better
    note: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: of which task and metric, of which group, and what the file calls metric and group.

    category   of UnQover's subjects, whose names are mended number by number
    """

    task: str
    measure: Measure
    group: str
    metric_there: str
    group_there: str
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What the columns of one file have in common.

    attribute   what its groups are groups of
    subgroups   attribute -> its subgroups, where a file holds both
    renamed     their name of a group -> ours
    pooled      their name of the mean over all groups
    corpora     column -> task and group, where every column is a corpus
    """

    task: str
    attribute: str = ""
    pooled: str = ""
    renamed: dict[str, str] = field(default_factory=dict)
    subgroups: dict[str, list[str]] = field(default_factory=dict)
    corpora: dict[str, dict[str, str]] = field(default_factory=dict)


@cache
def _listed() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "columns.toml").read_text(encoding="utf-8"))


@cache
def tables() -> dict[str, Table]:
    """Return what is known of every file, by its name without the ending."""
    return {name: Table(**facts) for name, facts in _listed()["tables"].items()}


@cache
def measures() -> dict[str, Measure]:
    """Return every metric by the name that the files give it."""
    notes = _listed()["notes"]
    return {name: Measure(**facts | {"note": notes[facts["note"]]}) for name, facts in _listed()["metrics"].items()}


@cache
def column_of(table: str, name: str) -> Column:
    """Return what a column holds.

    >>> column = column_of("bold", "subgroup_islam_vader_score")
    >>> column.measure.metric, column.group
    ('sentiment_mean', 'religious_ideology=islam')
    """
    about = tables()[table]
    if about.corpora:
        facts = about.corpora[name]
        metric = facts.get("metric", "perplexity")
        return Column(
            task=facts["task"],
            measure=measures()[metric],
            group=facts["group"],
            metric_there=metric,
            group_there=name,
        )
    metric, group_there = _split(name)
    category, _, subject = group_there.partition("/")
    return Column(
        task=about.task,
        measure=measures()[metric],
        group=f"{category}={subject}" if subject else _group(about, group_there),
        metric_there=metric,
        group_there=group_there,
        category=category if subject else "",
    )


def _split(name: str) -> tuple[str, str]:
    """Return the metric and the group that a column's name is made of; the group is empty in pooled ones."""
    for ending, suffix in (("_likelihood", ""), ("_ratio", "_ratio")):
        if name.startswith("mean_") and name.endswith(ending):
            return name.removeprefix("mean_").removesuffix(ending) + suffix, ""
    if name.endswith("_model_mu") or name.endswith("_model_eta"):
        category, _, metric = name.rpartition("_model_")
        return {"mu": "mu", "eta": "eta_model"}[metric], category
    metric = max((known for known in measures() if name.endswith(f"_{known}")), key=len)
    group = name.removesuffix(f"_{metric}")
    if metric in ("gamma", "eta"):
        category = next(known for known in CATEGORIES if group.startswith(f"{known}_"))
        return metric, f"{category}/{group.removeprefix(f'{category}_')}"
    return metric, "" if group == "mean" else group.removeprefix("sub").removeprefix("group_")


CATEGORIES = ("religion", "country", "ethnicity", "gender_occupation")
"""Of UnQover."""


def _group(about: Table, there: str) -> str:
    if there in ("", about.pooled):
        return POOLED
    name = about.renamed.get(there, there)
    parents = [attribute for attribute, names in about.subgroups.items() if name in names]
    return f"{parents[0] if parents else about.attribute}={name}"
