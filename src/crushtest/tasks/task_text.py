"""A task with its options in one word of a command line: `bbq:categories=[Age,Religion],scoring=token`."""

from __future__ import annotations

import re
from typing import Any

from crushtest.errors import UsageError
from crushtest.files.strict_yaml import parse_yaml
from crushtest.printing import quoted
from crushtest.registry import TASKS

_OPTION = re.compile(r"\s*(\w+)\s*=(.*)", re.DOTALL)


def parse_task(text: str) -> tuple[str, dict[str, Any]]:
    """Return the task's name and the options that are given, each value read as in a study file.

    Raises UnknownName for an unknown task, UsageError for a piece that is not option=value or an option given twice.

    >>> parse_task("probe_qa:chat=true")
    ('probe_qa', {'chat': True})
    """
    name, _, rest = text.partition(":")
    TASKS.get(name)
    options: dict[str, Any] = {}
    for piece in _pieces(rest):
        option = _OPTION.fullmatch(piece)
        if option is None:
            raise UsageError(f"task {quoted(text)}: {quoted(piece)} is not option=value")
        if option[1] in options:
            raise UsageError(f"task {quoted(text)}: {option[1]} is given twice")
        options[option[1]] = parse_yaml(option[2], f"task {quoted(text)}: {option[1]}")
    return name, options


def _pieces(text: str) -> list[str]:
    """Split at the commas that stand in no list."""
    pieces, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += sign
    return [piece for piece in pieces if piece.strip()]
