"""Tables for people to read, as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from crushtest.files.atomic import file_name
from crushtest.report.untrusted import name, visible

LATEX: dict[str | int, str | int | None] = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "“": "``",
    "”": "''",
    "<": r"\textless{}",
    "[": "{[}",  # at the beginning of a row it would be an argument of the row before
    "]": "{]}",
    ">": r"\textgreater{}",
}
BREAKABLE = re.compile(r"([:,=+])")
"""Where the name of an arm may break."""
MARKDOWN = re.compile(r"([\\`*_{}\[\]#!|~])")


@dataclass(frozen=True)
class Table:
    """A table for people to read; `stem` names its files.

    spans   in LaTeX, it is as wide as the text of a page with two columns, and its cells wrap
    """

    stem: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    spans: bool = False


def write_all(made: Iterable[Table], target: Path) -> list[Path]:
    """Write tables as CSV, Markdown and LaTeX into a folder, and return the files."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for table in made:
        for suffix, write in WRITERS.items():
            path = target / f"{file_name(table.stem)}{suffix}"
            with path.open("w", encoding="utf-8", newline="") as file:
                write(table, file)
            written.append(path)
    return written


def inert(text: str) -> str:
    """Quote a text that a spreadsheet would take for a formula."""
    shown = name(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) and not re.match(r"[+-][\d.]", shown) else shown


def write_csv(table: Table, file: TextIO) -> None:
    """Write comma-separated values with the minus sign that programs read."""
    rows = csv.writer(file)
    rows.writerow(map(inert, table.columns))
    for row in table.rows:
        rows.writerow(inert(text.replace("−", "-")) for text in row)


def write_markdown(table: Table, file: TextIO) -> None:
    """Write a pipe table; what would be markup is escaped."""

    def line(texts: tuple[str, ...]) -> str:
        escaped = (MARKDOWN.sub(r"\\\1", name(text)).replace("<", "&lt;").replace(">", "&gt;") for text in texts)
        return f"| {' | '.join(escaped)} |\n"

    file.write(f"{table.caption}\n\n{line(table.columns)}|{' --- |' * len(table.columns)}\n")
    file.writelines(map(line, table.rows))


def write_latex(table: Table, file: TextIO) -> None:
    """Write a booktabs tabular in a table float; it needs \\usepackage{booktabs}, and array if the table spans."""

    def escaped(text: str) -> str:
        return name(text).translate(str.maketrans(LATEX))

    def line(texts: tuple[str, ...]) -> str:
        return f"{' & '.join(map(escaped, texts))} \\\\\n"

    def heads(texts: tuple[str, ...]) -> str:
        first, *rest = texts
        return BREAKABLE.sub(r"\1\\allowbreak{}", escaped(first)) + "".join(f" & {escaped(text)}" for text in rest)

    layout = _spanning(len(table.columns)) if table.spans else "l" * len(table.columns)
    packages, end = ("booktabs,array", "table*") if table.spans else ("booktabs", "table")
    small = "\\footnotesize\n\\setlength{\\tabcolsep}{2pt}\n" if table.spans else ""
    file.write(f"% needs \\usepackage{{{packages}}}\n\\begin{{{end}}}\n\\caption{{{escaped_caption(table)}}}\n{small}")
    file.write(f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{line(table.columns)}\\midrule\n")
    file.writelines(f"{heads(row)} \\\\\n" if table.spans else line(row) for row in table.rows)
    file.write(f"\\bottomrule\n\\end{{tabular}}\n\\end{{{end}}}\n")


def _spanning(columns: int) -> str:
    """Return columns that wrap and fit the width of a page's text: 400 points or more, less what separates them."""
    room = 1 - 0.01 * columns
    first, second = 0.2 * room, 0.1 * room
    rest = (room - first - second) / max(1, columns - 2)
    widths = [first, second, *([rest] * (columns - 2))][:columns]
    return "".join(f">{{\\raggedright\\arraybackslash}}p{{{width:.4f}\\textwidth}}" for width in widths)


def escaped_caption(table: Table) -> str:
    """Return the caption for LaTeX; captions are our own text except for names in them."""
    return visible(table.caption).translate(str.maketrans(LATEX))


WRITERS: dict[str, Callable[[Table, TextIO], None]] = {
    ".csv": write_csv,
    ".md": write_markdown,
    ".tex": write_latex,
}
