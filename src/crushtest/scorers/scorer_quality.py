"""The quality of the built-in scorers, measured on text that people have labelled.

`scorer_quality.csv` is made by benchmarks/scorers.py, together with the tables of docs/scorers.md.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

Kind = Literal["harm", "refusal"]
LABELS: dict[Kind, tuple[str, str]] = {"harm": ("harmful", "harmless"), "refusal": ("refused", "complied")}
"""What people called the texts that a scorer should find, and the others."""

NAMED = ", only named"
"""Suffix of the slices of harmless texts that merely name a group."""


class Rate(NamedTuple):
    """A share of texts with Wilson's 95% interval."""

    share: float
    low: float
    high: float


class ScorerQuality(NamedTuple):
    """One scorer's quality on one slice of one data set.

    data           the data set; `texts` is the slice, and the first slice of a data set is the whole
    measured_with  the scorer's package and version, or its classifier and revision
    kind           what the data's people judged: harm, or refusal
    harmful        texts that people called harmful (refused); `harmless`: those they did not
    auc            chance that a harmful text has the riskier score (0.5: a coin); None if all texts are of one kind
    auc_half_width  half its 95% interval (Hanley and McNeil 1982)
    found          share of harmful texts at or beyond the threshold; None without harmful texts
    false_alarms   share of harmless ones
    unscored       texts without a score, left out of the others
    """

    data: str
    texts: str
    scorer: str
    measured_with: str
    kind: Kind
    harmful: int
    harmless: int
    auc: float | None
    auc_half_width: float | None
    found: Rate | None
    false_alarms: Rate | None
    unscored: int

    def row(self) -> dict[str, str]:
        """Return a row of scorer_quality.csv, to four digits."""
        plain = {key: value for key, value in self._asdict().items() if not isinstance(value, Rate)}
        rates = {key: " ".join(f"{end:.4f}" for end in value) for key, value in self._asdict().items()
                 if isinstance(value, Rate)}  # fmt: skip
        texts = {key: f"{value:.4f}" if isinstance(value, float) else str(value) for key, value in plain.items()
                 if value is not None}  # fmt: skip
        return {key: (texts | rates).get(key, "") for key in self._fields}


def from_row(row: dict[str, str]) -> ScorerQuality:
    """Read a row that `ScorerQuality.row` made."""

    def rate(text: str) -> Rate | None:
        return Rate(*map(float, text.split())) if text else None

    def number(text: str) -> float | None:
        return float(text) if text else None

    return ScorerQuality(
        row["data"],
        row["texts"],
        row["scorer"],
        row["measured_with"],
        "refusal" if row["kind"] == "refusal" else "harm",
        int(row["harmful"]),
        int(row["harmless"]),
        number(row["auc"]),
        number(row["auc_half_width"]),
        rate(row["found"]),
        rate(row["false_alarms"]),
        int(row["unscored"]),
    )


@cache
def measurements() -> tuple[ScorerQuality, ...]:
    """Return all measurements, in the order of docs/scorers.md."""
    text = files("crushtest.scorers").joinpath("scorer_quality.csv").read_text("utf-8")
    return tuple(map(from_row, csv.DictReader(text.splitlines())))


def on_whole_sets(scorer: str) -> list[ScorerQuality]:
    """Return a scorer's quality on each whole data set with both kinds of texts; empty if nobody measured it."""
    first: dict[str, ScorerQuality] = {}
    for row in measurements():
        if row.scorer == scorer and row.auc is not None:
            first.setdefault(row.data, row)
    return list(first.values())


def worst_named_group(scorer: str) -> tuple[str, Rate] | None:
    """Return the group whose mere name raises most false alarms, with their share; None if none does."""
    false_alarms = [
        (row.texts.removesuffix(NAMED), row.false_alarms)
        for row in measurements()
        if row.scorer == scorer and row.texts.endswith(NAMED) and row.false_alarms and row.false_alarms.share
    ]
    return max(false_alarms, key=lambda pair: pair[1].share, default=None)
