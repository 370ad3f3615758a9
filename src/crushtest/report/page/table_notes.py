"""The cautions of a table as numbered notes below it, each said once, which a keyboard and a finger reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crushtest.report.page.matrix import Cell

NUMBER = re.compile(r"(?<![\w.=])\d+(?![\w.%])")


@dataclass(frozen=True)
class TableNotes:
    """The notes of one table, and where they stand. Numbers begin at 1.

    heads   per row, or per column, the notes that all its cells share
    cells   per row and cell, the others
    """

    texts: tuple[str, ...]
    heads: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[tuple[int, ...], ...], ...]


def row_notes(rows: Sequence[Sequence[Cell]]) -> TableNotes:
    """Return the notes of a table; those that all cells of a row share stand at its head."""
    pieces = [[_pieces(cell) for cell in row] for row in rows]
    numbers, texts = _numbered([piece for row in pieces for cell in row if cell for piece in cell])
    marked = [[None if cell is None else _numbers(cell, numbers) for cell in row] for row in pieces]
    heads = tuple(_shared(row) for row in marked)
    cells = tuple(
        tuple(tuple(number for number in cell or () if number not in head) for cell in row)
        for row, head in zip(marked, heads, strict=True)
    )
    return TableNotes(texts, heads, cells)


def column_notes(rows: Sequence[Sequence[Cell]]) -> TableNotes:
    """Return the notes of a table with a row or more; those that all cells of a column share stand at its head."""
    turned = row_notes(list(zip(*rows, strict=True)))
    return TableNotes(turned.texts, turned.heads, tuple(zip(*turned.cells, strict=True)))


def _pieces(cell: Cell) -> list[str] | None:
    """Return the notes of a cell one by one; None for a cell without a number that a note could be about."""
    return [piece for piece in cell.note.split("; ") if piece] if cell.interval else None


def _kind(piece: str) -> str:
    """Return a note without its number, if it has just one: `only # items` is one note, whatever the count."""
    return NUMBER.sub("#", piece) if len(NUMBER.findall(piece)) == 1 else piece


def _numbered(pieces: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return kind of note -> its number, and the texts in that order, with the span of what they count."""
    counts: dict[str, set[int]] = {}
    for piece in pieces:
        counts.setdefault(_kind(piece), set()).update(map(int, NUMBER.findall(piece)))
    texts = []
    for kind, values in counts.items():
        spans = len(values) > 1 and "#" in kind
        span = f"{min(values)} to {max(values)}" if spans else str(next(iter(values), ""))
        texts.append(kind.replace("#", span) if "#" in kind and values else kind)
    return {kind: number for number, kind in enumerate(counts, start=1)}, tuple(texts)


def _numbers(pieces: Sequence[str], numbers: dict[str, int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(numbers[_kind(piece)] for piece in pieces))


def _shared(row: Sequence[tuple[int, ...] | None]) -> tuple[int, ...]:
    """Return the notes of all cells that have a number."""
    there = [cell for cell in row if cell is not None]
    return tuple(number for number in (there[0] if there else ()) if all(number in cell for cell in there))
