"""What the commands print on stdout: JSON, tables, entries of a list."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """JSON on stdout."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(rows: list[list[str]]) -> None:
    """Rows as a table, the first one its head; tab-separated where stdout is no terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*rows[0]) if rows else Table()
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    Console().print(table)


def printable(text: str) -> str:
    """A text with its control characters escaped: a model may have written it, and a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_entry(entry: dict[str, Any]) -> None:
    """One entry of a list: name and summary, source, options with types and defaults."""
    print(f"{entry['name']}\n    {entry['summary']}")
    for key, value in entry.items():
        if key not in ("name", "summary", "options") and value is not None and value is not False:
            print(f"    {key}: {', '.join(value) if isinstance(value, list | tuple) else value}")
    for name, option in entry.get("options", {}).items():
        value = option.get("default", "(required)")
        print(f"      {name}={value}  ({allowed(option)})")


def allowed(option: dict[str, Any]) -> str:
    """What an option takes, from its JSON schema: `number, at least 0, below 1`."""
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
