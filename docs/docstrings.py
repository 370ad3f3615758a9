"""Docstrings as Markdown: paragraphs, aligned lists as lists, JSON Schemas of options in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ENTRY = re.compile(r"(\S.*?)\s{2,}(\S.*)")


def markdown(docstring: str) -> str:
    """A docstring's paragraphs; aligned lists (`name   text`) and lists of names with indented text become lists."""
    paragraphs = [paragraph for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")) if paragraph.strip()]
    return "".join(f"{paragraph_markdown(paragraph.splitlines())}\n" for paragraph in paragraphs)


def paragraph_markdown(lines: Sequence[str]) -> str:
    """One paragraph; an indented one is code, a list inside an item of a list becomes a list inside it."""
    if all(line.startswith("    ") for line in lines):
        return "".join(f"{line}\n" for line in lines)
    written: list[str] = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        in_list = bool(written) and written[-1].startswith(("- ", "  "))
        entry = ENTRY.fullmatch(line)
        if line.startswith(" "):
            inner = ENTRY.fullmatch(line.strip()) if in_list else None
            text = f"- `{inner[1]}` {inner[2]}" if inner else line.strip()
            nested = bool(written) and written[-1].startswith(("  -", "    ")) and not inner
            written.append(f"{'    ' if nested else '  ' if in_list else ''}{text}")
        elif entry:
            first = ENTRY.fullmatch(entry[2])
            written += [f"- `{entry[1]}`", f"  - `{first[1]}` {first[2]}"] if first else [f"- `{entry[1]}` {entry[2]}"]
        elif following.startswith(" ") and not ENTRY.fullmatch(following):
            written.append(f"- {', '.join(f'`{name}`' if ' ' not in name else name for name in line.split(', '))}")
        else:
            written += [""] * in_list + [line]
    return spaced("\n".join(written)) + "\n"


def spaced(text: str) -> str:
    """The text with an empty line in front of each list, which Markdown needs."""
    return re.sub(r"(?m)^(?!- |  |$)(.+)\n(?=- )", r"\1\n\n", text)


def option_table(options: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of options from their JSON schemas; empty if there are none."""
    rows = [f"| `{name}` | {values(schema)} | {default(schema)} |\n" for name, schema in options.items()]
    return f"| option | values | default |\n| --- | --- | --- |\n{''.join(rows)}" if rows else ""


def default(schema: Mapping[str, Any]) -> str:
    return f"`{json.dumps(schema.get('default'))}`"


def values(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words.

    >>> values({"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]}), values({"enum": ["a", "b"]})
    ('integer, at least 2; or none', '`a`, `b`')
    """
    if "anyOf" in schema:
        return "; or ".join(values(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {values(schema.get('items', {}))}"
    words = {"string": "text", "null": "none"}
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    kind = words.get(schema.get("type", ""), schema.get("type", "anything"))
    return ", ".join([kind, *(f"{limit} {schema[key]}" for key, limit in limits.items() if key in schema)])
