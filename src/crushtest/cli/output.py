"""Print results on stdout: JSON, tables, entries of a list."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from crushtest.layout import fits, record_lines, wrapped
from crushtest.printing import inert, line, printable

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print a value as JSON. Characters that a terminal would obey stand in it as JSON's own escapes."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    print("\n".join(map(_json_line, text.split("\n"))))


def _json_line(text: str) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json_escape(c) for c in text)
    return text.replace("##[", r"##\u005b")


def json_escape(character: str) -> str:
    """Return a character as it is escaped inside a JSON string; beyond the first 65,536 it takes two escapes."""
    import json

    return json.dumps(character)[1:-1] if character != "\x7f" else r"\u007f"


def print_line(text: str, *, file: Any = None) -> None:
    """Print a line, whatever it repeats, on stdout unless `file` says otherwise."""
    print(line(text, None), file=file)


def width() -> int | None:
    """Return how many characters a line of stdout may have; None where it is no terminal and nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(rows: list[list[str]]) -> None:
    """Print rows, the first of which is the head.

    In a terminal they are a table, or a record per row if that is wider than the terminal; elsewhere tab-separated.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = width()
    if columns is None:
        for row in rows:
            print(inert("\t".join(row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=columns)
    table = Table(*rows[0]) if rows else Table()
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    if fits(table, console):
        console.print(table)
        return
    for text in record_lines(rows[0], rows[1:], columns):
        print(inert(text))


def print_entry(entry: dict[str, Any]) -> None:
    """Print an entry of a list: name, summary, what it declares, options with types and defaults."""
    for text in _entry_lines(entry):
        print_wrapped(text)


def print_wrapped(text: str) -> None:
    """Print a line of our own words, wrapped at the width of the terminal."""
    columns = width()
    for part in [text] if columns is None else wrapped(text, columns):
        print(part)


def _entry_lines(entry: dict[str, Any]) -> Iterator[str]:
    yield entry["name"]
    yield f"    {entry['summary']}"
    for key, value in entry.items():
        if key == "rules":
            yield from (f"    {number}. {rule}" for number, rule in enumerate(value, start=1))
        elif key not in ("name", "summary", "options") and value is not None and value is not False:
            yield f"    {key}: {', '.join(value) if isinstance(value, list | tuple) else value}"
    for name, option in entry.get("options", {}).items():
        value = option.get("default", "(required)")
        yield f"      {name}={value}  ({allowed(option)})"


def allowed(option: dict[str, Any]) -> str:
    """Return what an option takes, from its JSON schema: `number, at least 0, below 1`."""
    if "anyOf" in option:
        return " or ".join(map(allowed, option["anyOf"]))
    if "const" in option:
        return str(option["const"])
    if "enum" in option:
        return ", ".join(map(str, option["enum"]))
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    parts = [
        str(option.get("type", "value")),
        *(f"{words} {option[key]}" for key, words in bounds.items() if key in option),
    ]
    return ", ".join([*parts, *filter(None, [option.get("description")])])
