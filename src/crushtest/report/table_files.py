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
MARKDOWN = re.compile(r"([\\`*_{}\[\]#!|~])")


@dataclass(frozen=True)
class Table:
    """A table for people to read; `stem` names its files."""

    stem: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
    """Write a booktabs tabular in a table float; it needs \\usepackage{booktabs}."""

    def escaped(text: str) -> str:
        return name(text).translate(str.maketrans(LATEX))

    def line(texts: tuple[str, ...]) -> str:
        return f"{' & '.join(map(escaped, texts))} \\\\\n"

    layout = "l" * len(table.columns)
    file.write(f"% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\caption{{{escaped_caption(table)}}}\n")
    file.write(f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{line(table.columns)}\\midrule\n")
    file.writelines(map(line, table.rows))
    file.write("\\bottomrule\n\\end{tabular}\n\\end{table}\n")


def escaped_caption(table: Table) -> str:
    """Return the caption for LaTeX; captions are our own text except for names in them."""
    return visible(table.caption).translate(str.maketrans(LATEX))


WRITERS: dict[str, Callable[[Table, TextIO], None]] = {
    ".csv": write_csv,
    ".md": write_markdown,
    ".tex": write_latex,
}
