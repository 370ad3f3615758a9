"""Few-shot examples for BBQ, of the item's category, balanced over conditions and answers, and never tested."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

FOLDS = 3

Row = Mapping[str, Any]


def draw_examples(rows: Sequence[Row], *, shots: int, fold: int, seed: int) -> list[int]:
    """Return the indexes of the `shots` rows that precede a category's questions in one of the three folds.

    The folds have no row in common. As far as the numbers allow, a fold holds as many ambiguous as disambiguated
    rows, as many with the right answer in each place, as many negative questions as others, and no template twice.
    """
    # one generator per category, so that its examples do not depend on which other categories are asked
    generator = random.Random(f"{seed}/{rows[0]['category']}" if rows else seed)
    unused = list(range(len(rows)))
    generator.shuffle(unused)
    folds = []
    for _ in range(fold + 1):
        folds.append(_draw_fold(rows, unused, shots, generator))
        unused = [index for index in unused if index not in folds[-1]]
    return folds[fold]


def _draw_fold(rows: Sequence[Row], unused: Sequence[int], shots: int, generator: random.Random) -> list[int]:
    cells = list(product(("ambig", "disambig"), (0, 1, 2)))
    generator.shuffle(cells)
    drawn: list[int] = []
    for shot in range(shots):
        polarity = ("neg", "nonneg")[shot % 2]
        fits = partial(
            _misfit, rows, cells[shot % len(cells)], polarity, {rows[index]["question_index"] for index in drawn}
        )
        drawn.append(min((index for index in unused if index not in drawn), key=fits))
    return drawn


def _misfit(
    rows: Sequence[Row], cell: tuple[str, int], polarity: str, templates: set[str], index: int
) -> tuple[bool, bool, bool]:
    """Return a row's faults as the next example, the gravest first; the row with the fewest is drawn."""
    row = rows[index]
    return (
        (row["context_condition"], row["label"]) != cell,
        row["question_index"] in templates,
        row["question_polarity"] != polarity,
    )
