"""Arms whose weights seem unchanged: passing says nothing about compression there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from crushtest.files.parquet import ASK_AGAIN, read_table
from crushtest.records import DENSE
from crushtest.study.folder import StudyFolder

if TYPE_CHECKING:
    import polars as pl

DIGEST = "token_digest"
REPLY = "reply"


def unchanged_arms(folder: StudyFolder, arms: Iterable[str], against: str = DENSE) -> dict[str, str]:
    """Return arm -> reason: no weight has another value, or every answer equals that of `against` to the last bit.

    Letters read from replies count for nothing here.
    """
    reasons = {}
    for arm in arms:
        reason = _no_weight_changed(folder, arm) or _same_answers(folder, arm, against)
        if reason:
            reasons[arm] = reason
    return reasons


def _no_weight_changed(folder: StudyFolder, arm: str) -> str | None:
    path = folder.compression(arm)
    if not path.exists():
        return None
    layers = json.loads(path.read_text(encoding="utf-8")).get("layers", [])
    if sum(layer.get("changed", 1) for layer in layers) == 0:
        return "its compression changed no weight"
    return None


def _same_answers(folder: StudyFolder, arm: str, against: str) -> str | None:
    compared = 0
    for path in sorted((folder.arm(arm) / "answers").glob("*.parquet")):
        dense = folder.arm(against) / "answers" / path.name
        if not dense.exists():
            continue
        # Which tokens were read is no part of an answer, and older files do not say.
        ours, theirs = (read_table(each, remedy=ASK_AGAIN).drop(DIGEST, strict=False) for each in (path, dense))
        if not _equal(ours, theirs):
            return None
        compared += not _has_values(ours, REPLY)  # two models may well reply with the same letters
    return f"every answer is exactly that of {against}; is it the same model?" if compared else None


def _equal(ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    """Return whether two tables hold the same values. A column that one lacks, as older files do, must be empty."""
    shared = [name for name in ours.columns if name in theirs.columns]
    others = [(table, name) for table in (ours, theirs) for name in table.columns if name not in shared]
    return not any(_has_values(*other) for other in others) and ours.select(shared).equals(theirs.select(shared))


def _has_values(table: pl.DataFrame, column: str) -> bool:
    return column in table.columns and table[column].null_count() < table.height
