"""The commands of `crushtest data`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crushtest.cli.output import AsJson, print_json, print_table
from crushtest.errors import UnknownName

app = typer.Typer(help="Where each data set comes from, and whether it is here.", no_args_is_help=True)


@app.command("status")
def status(
    task: Annotated[list[str] | None, typer.Argument(help="Tasks or data sets; all if none is named.")] = None,
    files: Annotated[bool, typer.Option("--files", help="A line for every file, as where a task is named.")] = False,
    json: AsJson = False,
) -> None:
    """Show what is here: one line per data set, or for named ones every file, its address and whether it is whole.

    With --json every file is an entry.
    """
    from crushtest.data.status import SetStatus, summarize
    from crushtest.data.status import status as status_of

    named = with_data(task)
    found = status_of(named) if not task or named else []
    rows = [row._asdict() for row in found]
    if json:
        print_json(rows)
    elif not task and not files:
        print_table([list(SetStatus._fields), *(list(line) for line in summarize(found))])
    elif rows:
        shown = ("dataset", "file", "place", "licence", "address", "problem")
        print_table([list(shown), *([str(row[key] or "") for key in shown] for row in rows)])


@app.command("fetch")
def fetch(task: Annotated[list[str], typer.Argument(help="Tasks whose data to fetch into the cache.")]) -> None:
    """Fetch the data of these tasks from their canonical addresses, checked by sha256."""
    from crushtest.data.status import NotFetched
    from crushtest.data.status import fetch as fetch_data

    try:
        fetched = fetch_data(with_data(task), report=lambda address: print(address, file=sys.stderr))
    except NotFetched as error:
        print("\n".join(error.files), file=sys.stderr)
        raise
    for row in fetched:
        print(f"{row.dataset}/{row.file}\t{row.place}\t{row.path}")


def with_data(names: list[str] | None) -> list[str]:
    """The data sets that these tasks read (a data set may be named, too); for a task that reads none, say so."""
    from crushtest.data import catalogue
    from crushtest.registry import TASKS

    known = catalogue.data_sets()
    needed: dict[str, None] = {}
    for name in names or []:
        if name not in known and name not in TASKS.names():
            raise UnknownName("task or data set", name, [*known, *TASKS.names()])
        read = catalogue.read_by(name) or [name for name in [name] if name in known]
        if not read:
            print(f"{name}: nothing to fetch, it needs no data set", file=sys.stderr)
        needed |= dict.fromkeys(read)
    return list(needed)
