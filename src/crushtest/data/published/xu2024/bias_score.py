"""What the tables' bias score of BBQ counts, and the line that was scored on other items.

Their scorer takes an answer to a negative question as biased unless its label contains "non", unknown answers
included, and divides by the answers that are not unknown. Let u be the share of unknown answers. In a category without
such a label every answer to a negative question is biased, whatever the model says. With as many negative questions as
others the disambiguated score is then u / (1 - u), and the ambiguous score is accuracy plus a constant of the items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from crushtest.data.published.xu2024.tables import Line

UNKNOWNS_ONLY, UNKNOWN_BIASED = "counts_unknowns_only", "unknown_counted_as_biased"
ABOVE_ONE, NOT_COMPARABLE = "above_one", "not_comparable"
AMBIGUOUS, DISAMBIGUATED = "_s_ambiguous", "_s_disambiguated"
DIGITS = 7
"""Decimals to which the constants of two lines are compared."""


def mark_bias_scores(lines: Sequence[Line]) -> list[Line]:
    """Flag every bias score, those that exceed its bound, and lines whose items were others."""
    constants = {category: constant(lines, category) for category in categories(lines[0])}
    blind = {category: usual for category, usual in constants.items() if usual is not None}
    return [_marked(line, blind) for line in lines]


def categories(line: Line) -> list[str]:
    """Return the categories of a line, and what the mean over them is called."""
    return [column.removesuffix(AMBIGUOUS) for column in line.cells if column.endswith(AMBIGUOUS)]


def constant(lines: Sequence[Line], category: str) -> float | None:
    """Return what the ambiguous score exceeds accuracy by if it is the same in most lines; otherwise None."""
    (value, count), *_ = Counter(difference(line, category) for line in lines).most_common(1)
    return value if count > len(lines) / 2 else None


def difference(line: Line, category: str) -> float | None:
    """Return the ambiguous bias score less the accuracy on the same questions."""
    score, accuracy = line.value(f"{category}{AMBIGUOUS}"), line.value(f"{category}_acc_ambiguous")
    return None if score is None or accuracy is None else round(score - accuracy, DIGITS)


def _marked(line: Line, blind: dict[str, float]) -> Line:
    for category in categories(line):
        columns = [f"{category}{AMBIGUOUS}", f"{category}{DISAMBIGUATED}"]
        line = line.flagged(UNKNOWNS_ONLY if category in blind else UNKNOWN_BIASED, columns)
        line = line.flagged(ABOVE_ONE, [column for column in columns if (line.value(column) or 0) > 1])
    if any(difference(line, category) != usual for category, usual in blind.items()):
        line = line.flagged(NOT_COMPARABLE)
    return line
