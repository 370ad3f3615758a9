"""Arms whose weights seem unchanged: passing says nothing about compression there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from crushtest.records import DENSE, Kind
from crushtest.study.folder import StudyFolder

if TYPE_CHECKING:
    import polars as pl

DIGEST = "token_digest"
REPLY = "reply"


def unchanged_arms(
    folder: StudyFolder, arms: Iterable[str], tasks: Mapping[str, Kind], against: str = DENSE
) -> dict[str, str]:
    """Return arm -> reason: no weight has another value, or every answer equals that of `against` to the last bit.

    `tasks` are those of the study, with the kind of their answers. Letters read from replies count for nothing here.
    """
    reasons = {}
    for arm in arms:
        reason = _no_weight_changed(folder, arm) or _same_answers(folder, arm, tasks, against)
        if reason:
            reasons[arm] = reason
    return reasons


def _no_weight_changed(folder: StudyFolder, arm: str) -> str | None:
    record = folder.read_compression(arm)
    if record is None:
        return None
    layers = record.get("layers", [])
    if sum(layer.get("changed", 1) for layer in layers) == 0:
        return "its compression changed no weight"
    return None


def _same_answers(folder: StudyFolder, arm: str, tasks: Mapping[str, Kind], against: str) -> str | None:
    compared = 0
    for task, kind in tasks.items():
        logs = [folder.answers(name, task, kind) for name in (arm, against)]
        if not all(log.complete for log in logs):
            continue
        # Which tokens were read is no part of an answer, and older files do not say.
        ours, theirs = (log.table().frame.drop(DIGEST) for log in logs)
        if not ours.equals(theirs):
            return None
        compared += not _has_values(ours, REPLY)  # two models may well reply with the same letters
    return f"every answer is exactly that of {against}; is it the same model?" if compared else None


def _has_values(table: pl.DataFrame, column: str) -> bool:
    return column in table.columns and table[column].null_count() < table.height
