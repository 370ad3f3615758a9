"""The sheet of pairs that people fill in, as CSV: what it holds, and the reading of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from crushtest.errors import DataError
from crushtest.files.regular import read_text
from crushtest.printing import quoted

YES, NO, UNSURE = "yes", "no", "unsure"
ALLOWED = (YES, NO, UNSURE)
COLUMNS = ("pair", "prompt", "first", "second", "label_first", "label_second")
READ = ("pair", "label_first", "label_second")
"""The columns that are read back. Others may be missing, or changed by the program that saved the file."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters that make a spreadsheet take a cell for a formula, or may lead to one; full-width forms too."""


@dataclass(frozen=True)
class SheetRow:
    """A pair as people see it: the prompt and two answers, of which nothing says whose they are."""

    pair: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class SheetLabels:
    """What people said of a pair's two answers; None where they were unsure."""

    first: bool | None
    second: bool | None


def sheet_csv(rows: Iterable[SheetRow]) -> str:
    """Return the sheet as CSV, with empty columns for the labels.

    No text in it begins like a formula to a program that splits it at commas and heeds quotes. One that splits it at
    semicolons, tabs or every line end cuts texts in pieces, which may.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        [row.pair, inert_cell(row.prompt), inert_cell(row.first), inert_cell(row.second), "", ""] for row in rows
    )
    return text.getvalue()


def inert_cell(text: str) -> str:
    """Return a text as a cell that does not begin like a formula: an apostrophe stands before one that would.

    Blanks before it count for nothing, since some programs drop them.

    >>> inert_cell("=1+1"), inert_cell(" @sum"), inert_cell("1 + 1")
    ("'=1+1", "' @sum", '1 + 1')
    """
    return f"'{text}" if text.startswith(FORMULA) or text.strip().startswith(FORMULA) else text


def read_sheet(path: Path, pairs: Collection[str]) -> dict[str, SheetLabels]:
    """Return the labels of a filled sheet, by pair. Pairs without a label may stay empty, or be missing.

    Raises DataError, which names the line, for what is no sheet of these pairs.
    """
    rows = _rows(path)
    given: dict[str, SheetLabels] = {}
    seen: dict[str, int] = {}
    for line, row in rows:
        pair = row["pair"].strip()
        where = f"{path}: line {line}"
        if pair not in pairs:
            raise DataError(
                f"{where}: pair {quoted(pair)} is not in the key, so the sheet is of another draw, arm or task"
            )
        if pair in seen:
            raise DataError(f"{where}: pair {pair!r} again (first on line {seen[pair]}); keep one of them")
        seen[pair] = line
        labels = [_label(row[column], f"{where}, {column}") for column in READ[1:]]
        if labels == ["", ""]:
            continue
        if "" in labels:
            raise DataError(
                f"{where}: pair {pair!r} has one label of two; give both, or neither ({UNSURE!r} is a label)"
            )
        given[pair] = SheetLabels(*(None if label == UNSURE else label == YES for label in labels))
    if not given:
        raise DataError(
            f"{path}: no pair is labelled in columns {READ[1]} and {READ[2]} (allowed: {', '.join(ALLOWED)})"
        )
    return given


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row with its line. Commas, semicolons or tabs separate columns, as spreadsheets save them."""
    text = read_text(path, remedy="give a filled sheet, saved as CSV in UTF-8").removeprefix("\ufeff")
    header = text.partition("\n")[0]
    delimiter = max((",", ";", "\t"), key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        missing = [column for column in READ if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: no column {missing[0]!r}; a sheet has {', '.join(READ)} in its first line")
        for row in reader:
            yield reader.line_num, {column: row[column] or "" for column in READ}
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} is no CSV ({error})") from None


def _label(text: str, where: str) -> str:
    label = text.strip().lower()
    if label and label not in ALLOWED:
        raise DataError(f"{where}: {quoted(text)} is no label (allowed: {', '.join(ALLOWED)})")
    return label
