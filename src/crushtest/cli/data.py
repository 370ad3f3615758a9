"""The commands of `crushtest data`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.output import AsJson, print_line, print_table
from crushtest.errors import UnknownName
from crushtest.printing import printable

app = typer.Typer(help="Show where each data set comes from and whether it is here, or fetch it.", no_args_is_help=True)


@app.command("status")
def status(
    task: Annotated[list[str] | None, typer.Argument(help="Tasks or data sets. Default: all.")] = None,
    files: Annotated[bool, typer.Option("--files", help="Print a line per file, as when a task is named.")] = False,
    json: AsJson = False,
) -> None:
    """Show which data sets are here, a line per data set.

    For the tasks and data sets that are named, show every file: where it comes from and whether it is intact. With
    --json every file is an entry.
    """
    from crushtest.data.status import SetStatus, summarize
    from crushtest.data.status import status as status_of

    named = with_data(task)
    statuses = status_of(named) if not task or named else []
    rows = [row._asdict() for row in statuses]
    if json:
        print_result("data status", rows)
    elif not task and not files:
        print_table([list(SetStatus._fields), *(list(line) for line in summarize(statuses))])
    elif rows:
        shown = ("dataset", "file", "place", "licence", "address", "problem")
        print_table([list(shown), *([str(row[key] or "") for key in shown] for row in rows)])


@app.command("fetch")
def fetch(
    task: Annotated[list[str], typer.Argument(help="Tasks or data sets to fetch into the cache.")],
    json: AsJson = False,
) -> None:
    """Fetch the data of these tasks from their canonical addresses and check every sha256."""
    from crushtest.data.status import NotFetched
    from crushtest.data.status import fetch as fetch_data

    try:
        fetched = fetch_data(with_data(task), report=lambda address: print_line(address, file=sys.stderr))
    except NotFetched as error:
        for file in error.files:
            print_line(file, file=sys.stderr)
        raise
    if json:
        print_result("data fetch", [row._asdict() for row in fetched])
        return
    for row in fetched:
        print("\t".join(printable(str(cell)) for cell in (f"{row.dataset}/{row.file}", row.place, row.path)))


@app.command("fit")
def fit(
    scorer: Annotated[str, typer.Argument(help="The scorer to fit: refusal_ngrams.")],
    on: Annotated[
        list[str] | None, typer.Option("--on", help="A data set to fit it on. Default: all it can read.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Fit a scorer on labelled data, which is fetched if necessary, and keep it in the cache."""
    from crushtest.scorers import refusal_ngrams

    if scorer != refusal_ngrams.NAME:
        raise UnknownName("scorer to fit", scorer, [refusal_ngrams.NAME])
    path = str(refusal_ngrams.fit(on or ()))
    if json:
        print_result("data fit", {"file": path})
    else:
        print_line(path)


def with_data(names: list[str] | None) -> list[str]:
    """Return the data sets that these tasks read; report tasks that read none. Data sets may be named themselves."""
    from crushtest.data import catalogue
    from crushtest.registry import TASKS

    data_sets = catalogue.data_sets()
    needed: dict[str, None] = {}
    for name in names or []:
        if name not in data_sets and name not in TASKS.names():
            raise UnknownName("task or data set", name, [*data_sets, *TASKS.names()])
        names_read = catalogue.read_by(name) or ([name] if name in data_sets else [])
        if not names_read:
            print(f"{name}: nothing to fetch, it needs no data set", file=sys.stderr)
        needed |= dict.fromkeys(names_read)
    return list(needed)
