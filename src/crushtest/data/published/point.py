"""One published number, with all that is needed to set it beside one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crushtest.records import Better

POOLED = "all"
"""The group of a number over all items, as in a study's tables."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A number of a published table.

    model, arm         what was measured. `arm` is a recipe of ours, `dense`, or in the source's words where it has none
    task, metric       our names, and the source's own metric name where the definition is another
    group              our name of the group, or the source's own
    value              as printed; None where there is none
    better             the direction that the source calls better
    compression_ratio  share of the weights' bits that was removed, as stated; None where it is not
    training           whether the model was fine-tuned `before` or `after` compression; None: neither, or not said
    flags, reason      what is wrong with the number, as names of rules and in sentences
    comparable         whether it can be set beside the others of its table, as far as the flags say
    note               how the source measured it otherwise than we do
    table, line        the file in the source's folder, and the line in it; None for what was read off a figure
    metric_there, group_there    the names in that file
    """

    source: str
    model: str
    arm: str
    task: str
    metric: str
    group: str
    value: float | None
    unit: str
    better: Better
    compression_ratio: float | None
    training: Literal["before", "after"] | None
    flags: tuple[str, ...]
    reason: str
    comparable: bool
    note: str
    table: str
    line: int | None
    metric_there: str
    group_there: str
