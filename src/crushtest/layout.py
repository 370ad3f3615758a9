"""Rows as records, one field a line, for a terminal that is narrower than their table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from crushtest.printing import line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def fits(table: Table, console: Console) -> bool:
    """Return whether the console is wide enough for a table without a word cut or broken."""
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=100_000)
    return Measurement.get(console, unbounded, table).minimum <= console.width


def record_lines(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """Yield each row as a line per column and an empty line, no line longer than `width`.

    A value that is too long goes on below itself; nothing is cut.
    """
    name_width = min(max(map(len, columns), default=0), width // 3)
    for row in rows:
        for name, value in zip(columns, row, strict=True):
            head = f"{name:<{name_width}}  "
            if len(head) > name_width + 2:
                yield from wrapped(name, width)
                head = " " * (name_width + 2)
            yield from wrapped(f"{head}{value}", width, indent=name_width + 2)
        yield ""


def wrapped(text: str, width: int, *, indent: int | None = None) -> list[str]:
    """Return text in lines of at most `width` characters; those below the first begin `indent` further in.

    The default of `indent` is two more than that of the text itself.
    """
    own = len(text) - len(text.lstrip(" "))
    below = " " * min(own + 2 if indent is None else indent, width // 2)
    lines = textwrap.wrap(
        text, max(width, 8), subsequent_indent=below, drop_whitespace=True, break_on_hyphens=False, tabsize=1
    )
    return lines or [text]


def is_plain(console: Console) -> bool:
    """Return whether to print lines instead of a table: no terminal, or the user wants no colour."""
    return not console.is_terminal or console.no_color


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines without cutting or markup; a terminal gets them wrapped at its width."""
    for text in lines:
        indent = text[: len(text) - len(text.lstrip(" "))]
        whole = indent + line(text, None)
        for part in wrapped(whole, console.width) if console.is_terminal else [whole]:
            console.print(part, markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_table_or_records(
    console: Console, table: Table, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print the table; if the console is narrower, its rows one below the other."""
    if fits(table, console):
        console.print(table)
    else:
        print_lines(console, [title, "", *record_lines(columns, rows, console.width)])
