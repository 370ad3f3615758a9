"""Lines of one model and arm that occur twice in a table: the first belongs to another checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crushtest.data.published.xu2024.arms import OTHER_CHECKPOINT
from crushtest.data.published.xu2024.tables import Line

FLAG = "other_checkpoint"


def tell_apart(lines: Sequence[Line]) -> list[Line]:
    """Give every line but the last of a model and arm to the other checkpoint.

    In BBQ the first lines equal the bars of figure 4, whose model was fine-tuned by the authors themselves.
    """
    last = {(line.model, line.arm): line.number for line in lines}
    return [
        line if line.number == last[line.model, line.arm] else replace(line.flagged(FLAG), model=OTHER_CHECKPOINT)
        for line in lines
    ]
