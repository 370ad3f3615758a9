"""The command that lists what is registered: list."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crushtest.cli.output import AsJson, print_entry, print_json
from crushtest.errors import UnknownName

OF_EVERY_METHOD = """
Every method also takes layers=PATTERN,PATTERN,... and skip=PATTERN,...: which linear layers to compress and which to
leave alone (`down_proj`, `layers.0.*`). Join steps with +: wanda:pattern=2:4+gptq:bits=4"""


def list_entries(
    what: Annotated[str, typer.Argument(help="methods, tasks, scorers, engines or suites")],
    json: AsJson = False,
) -> None:
    """List methods, tasks, scorers, engines or suites, with their options and defaults."""
    from crushtest.registry import ENGINES, METHODS, SCORERS, TASKS, Registry

    registries: dict[str, Registry[Any]] = {"methods": METHODS, "tasks": TASKS, "scorers": SCORERS, "engines": ENGINES}
    if what == "suites":
        entries: list[dict[str, Any]] = _suites()
    elif what in registries:
        entries = [entry.describe() for entry in registries[what]]
    else:
        raise UnknownName("list", what, [*registries, "suites"])
    if json:
        print_json(entries)
    else:
        for entry in entries:
            print_entry(entry)
        if what == "methods":
            print(OF_EVERY_METHOD)


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
