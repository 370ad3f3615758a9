"""Numbers that only the figures of the paper hold: the bars of figure 4, and one number of a heat map (`figures.csv`).

The heights of the bars were measured in pixels. Figure 4 compares BBQ before and after pruning with fine-tuning first
(`before`) or last (`after`), for one checkpoint, and does not say how much was pruned.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import Literal, NamedTuple, cast

from crushtest.data.published.xu2024.arms import Arm, arm_of
from crushtest.data.published.xu2024.bias_score import AMBIGUOUS, DISAMBIGUATED, UNKNOWN_BIASED

BARS, PRINTED, NO_SPARSITY = "read_off_bars", "printed_in_figure", "sparsity_not_stated"
SPELLED = {"dense": "none", "int8": "bnb"}


class Drawn(NamedTuple):
    """A number of a figure. Its arm has no compression ratio where the figure does not say how much was pruned."""

    figure: str
    model: str
    recipe: str
    compression_ratio: float | None
    training: Literal["before", "after"] | None
    table: str
    column: str
    value: float
    flags: tuple[str, ...]


def drawn() -> Iterator[Drawn]:
    """Yield the numbers of the figures."""
    text = (files(__package__) / "figures.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        pruned = bool(row["training"])
        arm = Arm(row["method"], 0.0) if pruned else arm_of(SPELLED.get(row["method"], row["method"]), "0", "-")
        bars = row["column"].startswith("avg_")
        bias = row["column"].endswith((AMBIGUOUS, DISAMBIGUATED))
        flags = [BARS if bars else PRINTED, *([UNKNOWN_BIASED] if bias else []), *([NO_SPARSITY] if pruned else [])]
        yield Drawn(
            figure=row["figure"],
            model=row["model"],
            recipe=arm.recipe,
            compression_ratio=None if pruned else arm.compression_ratio,
            training=cast(Literal["before", "after"], row["training"]) if pruned else None,
            table=row["table"],
            column=row["column"],
            value=float(row["value"]),
            flags=tuple(flags),
        )
