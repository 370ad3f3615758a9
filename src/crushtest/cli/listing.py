"""The command that lists what is registered: list."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from crushtest.cli.output import AsJson, print_entry, print_json, print_table, print_wrapped
from crushtest.errors import UnknownName

OF_EVERY_METHOD = (
    "Every method also takes layers=PATTERN,PATTERN,... and skip=PATTERN,...: which linear layers to compress and "
    "which to leave alone (`down_proj`, `layers.0.*`). Join steps with +: wanda:pattern=2:4+gptq:bits=4"
)
LISTED = ("methods", "tasks", "scorers", "engines", "suites", "policies")
CELL = 39
"""Characters of a task in the short list, two of which stand in a line of 80."""


def list_entries(
    what: Annotated[str, typer.Argument(help=", ".join(LISTED[:-1]) + f" or {LISTED[-1]}")],
    name: Annotated[list[str] | None, typer.Argument(help="Only these, in full.")] = None,
    json: AsJson = False,
) -> None:
    """List methods, tasks, scorers, engines, suites or policies, with their options and defaults.

    Tasks are listed in short: the dimension, the items of a study without a limit, and whether their data are here.
    `crushtest list tasks NAME` shows a task in full.

    Examples:

        crushtest list tasks

        crushtest list tasks bbq xstest
    """
    entries = _entries(what)
    if name:
        by_name = {entry["name"]: entry for entry in entries}
        if unknown := next((each for each in name if each not in by_name), None):
            raise UnknownName(what.removesuffix("s").replace("policie", "policy"), unknown, by_name)
        entries = [by_name[each] for each in name]
    if json:
        print_json(entries)
    elif what == "tasks" and not name:
        _print_tasks(entries)
    else:
        for entry in entries:
            print_entry(entry)
        if what == "methods":
            print()
            print_wrapped(OF_EVERY_METHOD)


def _entries(what: str) -> list[dict[str, Any]]:
    """Return what is listed, each with its name, a summary and what it declares."""
    from crushtest.registry import ENGINES, METHODS, SCORERS, TASKS, Registry

    registries: dict[str, Registry[Any]] = {"methods": METHODS, "tasks": TASKS, "scorers": SCORERS, "engines": ENGINES}
    if what == "suites":
        return _suites()
    if what == "policies":
        from crushtest.gate.policy import policies, read_policy

        read = {name: read_policy(name) for name in policies()}
        return [
            {"name": name, "summary": policy.summary, "rules": [str(rule) for rule in policy.rules]}
            for name, policy in read.items()
        ]
    if what not in registries:
        raise UnknownName("list", what, LISTED)
    described = [entry.describe() for entry in registries[what]]
    if what == "tasks":
        from crushtest.data.status import data_of

        described = [{**entry, "data": data_of(entry["name"])} for entry in described]
    return described


def _suites() -> list[dict[str, Any]]:
    """Return each suite: what it can and cannot show, how long it takes, its tasks and the data that they read."""
    from crushtest.study.suites import by_hand, fetched, suites

    return [
        {
            "name": suite.name,
            "summary": suite.summary,
            "detects": suite.detects or None,
            "misses": suite.misses or None,
            "takes": suite.takes or None,
            "tasks": [name for name, _ in suite.tasks],
            "fetches": fetched(suite) or None,
            "by_hand": by_hand(suite) or None,
        }
        for suite in suites().values()
    ]


def _print_tasks(entries: list[dict[str, Any]]) -> None:
    """Print the tasks by dimension, two in a line; not in a terminal, one in a line with its summary."""
    if not sys.stdout.isatty():
        columns = ("name", "dimension", "items", "data", "summary")
        print_table([[*columns], *([str(entry[key] or "") for key in columns] for entry in entries)])
        return
    print("\n".join(task_lines(entries)))


def task_lines(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the short list of tasks by dimension: how many items a study asks, and whether the data are here."""
    for dimension in dict.fromkeys(entry["dimension"] for entry in entries):
        yield f"{dimension}"
        cells = [_cell(entry) for entry in entries if entry["dimension"] == dimension]
        half = (len(cells) + 1) // 2
        for first, second in zip(cells[:half], [*cells[half:], ""], strict=False):
            yield f"{first:<{CELL}}  {second}".rstrip()
    yield "With the items of a study without a limit. All about a task: list tasks NAME"


def _cell(entry: dict[str, Any]) -> str:
    items = "" if entry["items"] is None else f"{entry['items']:,}"
    return f"  {entry['name']:<20}{items:>8} {entry['data']}"[:CELL]
