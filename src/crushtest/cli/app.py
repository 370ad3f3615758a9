"""The program: its commands in the order of `--help`, and its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from crushtest.cli import data, published
from crushtest.cli.agents import mcp
from crushtest.cli.at_address import refusing_addresses
from crushtest.cli.compress import compress
from crushtest.cli.doctor import doctor
from crushtest.cli.elsewhere import add, items
from crushtest.cli.empty_paths import refusing_empty_paths
from crushtest.cli.encoding import refuse_bytes, until_reader_leaves, write_anything
from crushtest.cli.envelope import print_failure
from crushtest.cli.gate import gate
from crushtest.cli.interrupted import saying_interrupted, unwind_on_sigterm
from crushtest.cli.label import label
from crushtest.cli.listing import list_entries
from crushtest.cli.locate import locate
from crushtest.cli.output import print_line
from crushtest.cli.parse_errors import usage_in_one_line, wrong_place
from crushtest.cli.results import card, compare, query, report, verify
from crushtest.cli.run import evaluate, run
from crushtest.cli.score import score
from crushtest.cli.search import search
from crushtest.cli.start import init, schema
from crushtest.cli.track import track
from crushtest.cli.unexpected import EXIT_CODE, in_one_line, missing_extra
from crushtest.errors import CrushtestError
from crushtest.models.threads import settle

app = typer.Typer(
    name="crushtest",
    help="Crash tests for compressed language models: compress a model, or take a compressed one, and see what "
    "compression did to its safety and quality, per group, against the dense model on the same items.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Begin": {"init": init, "doctor": doctor, "schema": schema, "list": list_entries},
    "Measure": {"run": run, "evaluate": evaluate, "compress": compress, "search": search},
    "Answers made elsewhere": {"items": items, "add": add, "score": score},
    "Read and judge": {
        "compare": compare,
        "report": report,
        "gate": gate,
        "card": card,
        "query": query,
        "label": label,
        "locate": locate,
        "verify": verify,
    },
    "Take away": {"track": track, "mcp": mcp},
}
GROUPS = {"data": (data.app, "Begin"), "published": (published.app, "Read and judge")}


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with what is the same for all: which paths it refuses, and how it ends if interrupted."""
    return saying_interrupted(refusing_addresses(refusing_empty_paths(command)))


for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(_guarded(command))
for name, (group, panel) in GROUPS.items():
    for registered in group.registered_commands:
        if registered.callback is not None:
            registered.callback = _guarded(registered.callback)
    app.add_typer(group, name=name, rich_help_panel=panel)


def print_version(requested: bool) -> None:
    """Print the version and exit, before the command is parsed."""
    if requested:
        from crushtest import __version__

        print(f"crushtest {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and exit.")
    ] = False,
) -> None:  # documented by the app itself
    pass


def main() -> None:
    """Run the console script. Print every failure as one line on stderr, never as a traceback."""
    write_anything()
    settle()
    unwind_on_sigterm()
    with until_reader_leaves():
        _run()


def _run() -> None:
    try:
        refuse_bytes(sys.argv[1:])
        with usage_in_one_line():
            sys.exit(app(standalone_mode=False))
    except CrushtestError as error:
        _fail(" ".join(str(error).split()), error.exit_code)
    except OSError as error:
        message = wrong_place(error)
        _fail(message or in_one_line(error), 1 if message else EXIT_CODE)
    except ModuleNotFoundError as error:
        message = missing_extra(error)
        _fail(message or in_one_line(error), 1 if message else EXIT_CODE)
    except Exception as error:
        _fail(in_one_line(error), EXIT_CODE)


def _fail(message: str, code: int) -> NoReturn:
    """Say why the command failed, and exit."""
    print_line(f"crushtest: {message}", file=sys.stderr)
    print_failure(sys.argv[1:], message)
    sys.exit(code)
