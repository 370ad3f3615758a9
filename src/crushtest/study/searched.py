"""The folder of a search: what was asked, what was measured, what was chosen and how it was verified.

    <search>/search.json  sensitivity.parquet  policy.yaml  verify-policy.yaml  costs.json  search.html
    <search>/screen  <search>/verify      studies of either half of the clusters
    <search>/other  other-policy.yaml     study of the tasks that are asked in the verification alone, if there are any

No time stands in search.json or in the tables: the same search gives the same bytes, however often it was killed.
costs.json says what each step took.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog
from crushtest.files.atomic import write_json
from crushtest.files.locks import lock_folder
from crushtest.files.parquet import TableKind
from crushtest.files.regular import read_bytes
from crushtest.registry import explain
from crushtest.study.folder import StudyFolder

Outcome = Literal["found", "none", "inconclusive"]
Verdict = Literal["passed", "regression", "inconclusive"]
Scores = Literal["measured", "gradient"]
CandidateKind = Literal["mix", "swapped", "uniform", "given", "by text"]
SIZE_TOLERANCE = 1e-9
"""Sizes are shares, and a target is met within their rounding."""


@dataclass(frozen=True)
class Cell:
    """How far one part at one option moves one task from dense.

    divergence   KL(dense || arm): nats per question (over the options), or per predicted token
    error        its standard error over clusters; None for fewer than two
    stored_bits  what the part takes at that option, as a compression's record counts it
    """

    part: str
    block: int
    option: str
    task: str
    dimension: str
    divergence: float
    error: float | None
    items: int
    clusters: int
    stored_bits: int


SENSITIVITY = TableKind(
    "sensitivity",
    pl.Schema(
        {
            "item": pl.String(),
            "part": pl.String(),
            "block": pl.Int64(),
            "option": pl.String(),
            "task": pl.String(),
            "dimension": pl.String(),
            "divergence": pl.Float64(),
            "error": pl.Float64(),
            "items": pl.Int64(),
            "clusters": pl.Int64(),
            "stored_bits": pl.Int64(),
        }
    ),
    filled=("item", "divergence", "stored_bits"),
)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Candidate(_Stored):
    """A recipe that may be the answer.

    size       of the model's linear layers, as a share of what they take at 16 bits
    predicted  dimension -> sum of its parts' divergences, as a share of that of the reference option everywhere; None
               for a recipe that was given
    chosen     [parts] the index of each part's option; None for a recipe that was given
    """

    name: str
    recipe: str
    kind: CandidateKind
    size: float | None = None
    predicted: dict[str, float] | None = None
    chosen: tuple[int, ...] | None = None


class Judged(_Stored):
    """What a gate said of a candidate on one half of the clusters.

    ratios   dimension -> the largest harm of its rules, as a share of their margins, or changed answers as a share of
             `max_flips`
    broke    what was not passed, in words
    """

    name: str
    outcome: Verdict
    size: float
    ratios: dict[str, float]
    broke: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """Return the largest ratio. Without any: 0 if every rule was passed, as none sets a limit, else infinity."""
        return max(self.ratios.values(), default=0.0 if self.outcome == "passed" else float("inf"))


def no_larger(screened: Iterable[Judged], target: float | None) -> tuple[Judged, ...]:
    """Return what is no larger than a target; all without one."""
    return tuple(one for one in screened if target is None or one.size <= target + SIZE_TOLERANCE)


class Swap(_Stored):
    """A measurement of a whole mix on items of the search half, after two of its parts exchanged their options.

    parts   the two; none for the mix of the integer program
    ratios  dimension -> divergence, as a share of that of the reference option everywhere, as predicted from parts
    kept    it has the least largest ratio so far
    """

    mix: str
    parts: tuple[str, ...]
    ratios: dict[str, float]
    kept: bool

    @property
    def worst(self) -> float:
        """Return the largest ratio."""
        return max(self.ratios.values())


class Half(_Stored):
    """How many items and clusters of a task are in either half."""

    search: int
    verify: int
    search_clusters: int
    verify_clusters: int


class SearchRecord(_Stored):
    """search.json: it grows step by step. `order` stands in it before any item of the other half is asked.

    scores   whether sensitivities were measured, or estimated from gradients
    left_out candidate -> the regression that it is predicted to be no better than in any dimension, so that it was not
             screened
    swaps    what was measured to better the mixes, in order
    rivals   what is no candidate and was measured on the other half for comparison alone
    other    task -> items, of the tasks that are asked in the verification alone
    """

    request: dict[str, Any]
    halves: dict[str, Half] = {}
    other: dict[str, int] = {}
    parts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    scores: Scores = "measured"
    reference: str | None = None
    candidates: tuple[Candidate, ...] | None = None
    swaps: tuple[Swap, ...] = ()
    screened: tuple[Judged, ...] | None = None
    left_out: dict[str, str] = {}
    order: tuple[str, ...] | None = None
    verified: tuple[Judged, ...] | None = None
    rivals: tuple[Candidate, ...] = ()
    beside: tuple[Judged, ...] | None = None
    outcome: Outcome | None = None
    answer: str | None = None
    recipe: str | None = None

    @property
    def eligible(self) -> tuple[Judged, ...]:
        """Return what was screened and may be the answer: with a target, what is no larger."""
        return no_larger(self.screened or (), self.request.get("target"))

    def candidate(self, name: str) -> Candidate:
        """Return the candidate of that name, or what stands beside the candidates."""
        return next(one for one in (*(self.candidates or ()), *self.rivals) if one.name == name)


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search."""

    root: Path

    @property
    def record_path(self) -> Path:
        return self.root / "search.json"

    @property
    def costs_path(self) -> Path:
        return self.root / "costs.json"

    @property
    def policy(self) -> Path:
        return self.root / "policy.yaml"

    @property
    def verify_policy(self) -> Path:
        return self.root / "verify-policy.yaml"

    @property
    def other_policy(self) -> Path:
        return self.root / "other-policy.yaml"

    @property
    def page(self) -> Path:
        return self.root / "search.html"

    @property
    def screen(self) -> StudyFolder:
        return StudyFolder(self.root / "screen")

    @property
    def verify(self) -> StudyFolder:
        return StudyFolder(self.root / "verify")

    @property
    def other(self) -> StudyFolder:
        return StudyFolder(self.root / "other")

    @property
    def sensitivity(self) -> AppendLog[Cell]:
        """Return the log of the cells of blocks and options."""
        return AppendLog(
            self.root / "sensitivity.parquet",
            SENSITIVITY,
            Cell,
            facts={"kind": "sensitivity"},
            remedy="remove it and the cells are measured again",
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process. Raises StoreError if another process is searching in it."""
        with lock_folder(self.root, "another search is writing here"):
            yield

    def read(self) -> SearchRecord | None:
        """Return what search.json says; None if there is none. Raises StoreError if it is damaged."""
        if not self.record_path.exists():
            return None
        try:
            return SearchRecord.model_validate_json(read_bytes(self.record_path, remedy="restore it"))
        except ValidationError as error:
            raise StoreError(f"{self.record_path} cannot be used ({explain(error)}); restore it") from None

    def write(self, record: SearchRecord) -> None:
        """Write search.json, whole or not at all."""
        write_json(self.record_path, record.model_dump(mode="json"))

    def read_costs(self) -> dict[str, float]:
        """Return the seconds that each step took so far; empty if none is known."""
        try:
            content = json.loads(self.costs_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def add_cost(self, step: str, seconds: float) -> None:
        """Add to the seconds that a step took: a search that was killed goes on counting."""
        costs = self.read_costs()
        write_json(self.costs_path, {**costs, step: round(costs.get(step, 0.0) + seconds, 1)})
