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
        from crushtest.study.suites import suites

        entries: list[dict[str, Any]] = [
            {"name": suite.name, "summary": suite.summary, "tasks": [name for name, _ in suite.tasks]}
            for suite in suites().values()
        ]
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
