"""The program: its commands in the order of `--help`, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crushtest.cli import data
from crushtest.cli.compress import compress
from crushtest.cli.gate import gate
from crushtest.cli.listing import list_entries
from crushtest.cli.parse_errors import usage_in_one_line, wrong_place
from crushtest.cli.results import card, compare, query, report
from crushtest.cli.run import evaluate, run
from crushtest.cli.score import score
from crushtest.errors import CrushtestError

app = typer.Typer(
    name="crushtest",
    help="Crash tests for compressed language models: compress a model, or take one that is compressed, and see what "
    "that did to its safety and quality, per group, against the dense model on the same items.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, evaluate, compress, compare, report, gate, score, card, query):
    app.command()(command)
app.command(name="list")(list_entries)
app.add_typer(data.app, name="data")


def print_version(asked: bool) -> None:
    """What `--version` prints, before a command is looked for."""
    if asked:
        from crushtest import __version__

        print(f"crushtest {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version, and exit.")
    ] = False,
) -> None:  # documented by the app itself
    pass


def main() -> None:
    """The console script: every expected failure is one line on stderr and an exit code, never a traceback."""
    try:
        with usage_in_one_line():
            sys.exit(app(standalone_mode=False))
    except CrushtestError as error:
        print(f"crushtest: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        said = wrong_place(error)
        if said is None:
            raise
        print(f"crushtest: {said}", file=sys.stderr)
        sys.exit(1)
