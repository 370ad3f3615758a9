"""The tables of Xu et al. 2024 as their authors wrote them: lines of cells, each with the column it stands in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from crushtest.data import sources
from crushtest.data.published.xu2024.arms import MODELS, Arm, arm_of
from crushtest.errors import DataError

NAME = "xu2024"
FACTS = {
    "name",
    "base_model",
    "compression_type",
    "compression_method",
    "quantization_bits",
    "compression_ratio",
    "pruning_structure",
    "active_parameters",
}
"""The columns that say what a line is of. All others hold results."""
DASH = "-"
"""Written where there is no result."""
WHOLE = 1e-5
"""How near to a whole number a mean times its count must be: means have ten digits, and counts are at most 10,000."""


@dataclass(frozen=True)
class Cell:
    """A number, and the rules that marked it. `subject` is set where its column names another one than it is of."""

    value: float | None
    flags: tuple[str, ...] = ()
    subject: str | None = None

    def flagged(self, flag: str) -> Cell:
        """Return the cell with one more flag."""
        return replace(self, flags=(*self.flags, flag))


@dataclass(frozen=True)
class Line:
    """A line of a table: its number in the file, model and arm, and a cell per column of results."""

    table: str
    number: int
    model: str
    arm: Arm
    cells: Mapping[str, Cell]

    def value(self, column: str) -> float | None:
        """Return the number in a column."""
        return self.cells[column].value

    def flagged(self, flag: str, columns: Iterable[str] | None = None) -> Line:
        """Return the line with a flag on these columns (default: on all)."""
        chosen = list(self.cells) if columns is None else columns
        return self.with_cells({column: self.cells[column].flagged(flag) for column in chosen})

    def with_cells(self, cells: Mapping[str, Cell]) -> Line:
        """Return the line with these cells in place of its own."""
        return replace(self, cells={**self.cells, **cells})


def read_lines(table: str) -> list[Line]:
    """Return the lines of a table, checked against its sha256. Raises DataError as `sources.find` does."""
    return parse_lines(table, sources.read_text(NAME, f"{table}.csv"))


def parse_lines(table: str, text: str) -> list[Line]:
    """Return the lines of a table. The first line of results is line 2 of its file."""
    return [_line(table, number, row) for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2)]


def _line(table: str, number: int, row: Mapping[str, str]) -> Line:
    return Line(
        table=table,
        number=number,
        model=MODELS[row["base_model"]],
        arm=arm_of(row["compression_method"], row["compression_ratio"], row["pruning_structure"]),
        cells={column: _cell(table, number, column, text) for column, text in row.items() if column not in FACTS},
    )


def _cell(table: str, number: int, column: str, text: str) -> Cell:
    if text in ("", DASH):
        return Cell(None, ("not_published",) if text == DASH else ())
    try:
        return Cell(float(text))
    except ValueError:
        raise DataError(f"{NAME}/{table}.csv, line {number}, {column}: not a number ({text[:40]!r})") from None


def is_whole(number: float) -> bool:
    """Return True if a printed mean times its count is a whole number, as far as its digits tell."""
    return abs(number - round(number)) < WHOLE
