"""What `--json` prints: one envelope for every command, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from crushtest.cli.output import print_json

FORMAT = 1
"""Version of the envelope. It rises when a key goes or changes its meaning; new keys in `data` do not raise it."""
Status = Literal["done", "passed", "regression", "inconclusive", "problems", "failed"]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROWS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
NAMED = {"type": "array", "items": {"type": "object", "required": ["name", "summary"]}}


def _keys(*names: str) -> dict[str, Any]:
    return {"type": "object", "required": list(names)}


DATA: dict[str, dict[str, Any]] = {
    "init": _keys("file"),
    "doctor": ROWS,
    "list": NAMED,
    "data status": ROWS,
    "data fetch": ROWS,
    "data fit": _keys("file"),
    "run": _keys("study", "report", "new"),
    "evaluate": _keys("study", "report", "new"),
    "compress": _keys("folder", "totals"),
    "search": _keys("search", "outcome", "answer", "recipe", "screened", "verified"),
    "items": _keys("task", "items", "file"),
    "add": _keys("study", "arm", "task", "items", "missing", "problems", "compared"),
    "score": _keys("task", "items", "missing", "problems", "metrics"),
    "compare": _keys("study", "report", "contrasts"),
    "report": _keys("report"),
    "gate": _keys("study", "policy", "outcome", "exit_code", "checks"),
    "card": _keys("cards"),
    "query": ROWS,
    "label": _keys("pairs"),
    "track": _keys("tracker", "project", "runs"),
    "locate": _keys("arm", "recipe", "parts", "variants", "repair", "helps", "page"),
    "verify": _keys("problems"),
    "published list": ROWS,
    "published fetch": _keys("path", "numbers", "marked"),
    "published figures": _keys("files"),
}
"""Command -> what its `data` are, at least."""


def print_result(command: str, data: object, *, status: Status = "done", warnings: Iterable[str] = ()) -> None:
    """Print the envelope of a command's result."""
    print_json(
        {"version": FORMAT, "command": command, "status": status, "data": data, "warnings": [*filter(None, warnings)]}
    )


def print_failure(arguments: Sequence[str], message: str) -> None:
    """Print the envelope of a command that failed, if it was to print JSON; `message` is its one line on stderr."""
    if "--json" not in arguments:
        return
    words = [argument for argument in arguments if not argument.startswith("-")]
    command = next((name for name in (" ".join(words[:2]), *words[:1]) if name in DATA), None)
    if command is not None:
        print_result(command, None, status="failed", warnings=[message])


def output_schema() -> dict[str, Any]:
    """Return the JSON Schema of what every command prints with `--json`."""
    by_command = [
        {
            "if": {"properties": {"command": {"const": command}, "status": {"not": {"const": "failed"}}}},
            "then": {"properties": {"data": data}},
        }
        for command, data in DATA.items()
    ]
    return {
        "$schema": DIALECT,
        "title": "What a command of crushtest prints with --json",
        "type": "object",
        "required": ["version", "command", "status", "data", "warnings"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": FORMAT, "description": "The version of this envelope"},
            "command": {"enum": [*DATA]},
            "status": {
                "enum": [*get_args(Status)],
                "description": "done; of gate: passed, regression, inconclusive; of verify: problems; failed: data is "
                "null, and the reason is the warning",
            },
            "data": {},
            "warnings": {"type": "array", "items": {"type": "string"}, "description": "What stands on stderr as well"},
        },
        "allOf": by_command,
    }
