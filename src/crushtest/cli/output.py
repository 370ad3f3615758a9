"""Print results on stdout: JSON, tables, entries of a list."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

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


def print_table(rows: list[list[str]]) -> None:
    """Print rows as a table whose first row is the head; tab-separated unless stdout is a terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in rows:
            print(inert("\t".join(row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*rows[0]) if rows else Table()
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    Console().print(table)


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
