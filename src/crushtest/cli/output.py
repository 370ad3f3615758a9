"""Print results on stdout: JSON, tables, entries of a list."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print a value as JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(rows: list[list[str]]) -> None:
    """Print rows as a table whose first row is the head; tab-separated unless stdout is a terminal."""
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
    """Escape control characters: a model may have written the text, and a terminal would obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_entry(entry: dict[str, Any]) -> None:
    """Print an entry of a list: name, summary, what it declares, options with types and defaults."""
    print(f"{entry['name']}\n    {entry['summary']}")
    for key, value in entry.items():
        if key not in ("name", "summary", "options") and value is not None and value is not False:
            print(f"    {key}: {', '.join(value) if isinstance(value, list | tuple) else value}")
    for name, option in entry.get("options", {}).items():
        value = option.get("default", "(required)")
        print(f"      {name}={value}  ({allowed(option)})")


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
