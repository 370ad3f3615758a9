"""Lines of made-up tables, for the rules."""

from __future__ import annotations

from collections.abc import Mapping

from crushtest.data.published.xu2024.arms import Arm
from crushtest.data.published.xu2024.tables import Cell, Line


def line(
    values: Mapping[str, float | None], *, number: int = 2, table: str = "bbq", model: str = "M", arm: str = "dense"
) -> Line:
    """A line with these numbers."""
    return Line(table, number, model, Arm(arm, 0.0), {column: Cell(value) for column, value in values.items()})


def flags_of(marked: Line) -> dict[str, tuple[str, ...]]:
    """Column -> flags, of the columns that have any."""
    return {column: cell.flags for column, cell in marked.cells.items() if cell.flags}
