"""An empty path is one line, for every command that takes a path, and never the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.models import OptionInfo

from crushtest.cli.app import COMMANDS
from support.in_process import crushtest

GIVEN = {"sql": "SELECT 1", "model": "fake", "task": "probe_facts"}
"""Arguments that stand before or after a path."""


def paths() -> list[tuple[str, str]]:
    """Every command and parameter that is a path."""
    commands = {name: command for panel in COMMANDS.values() for name, command in panel.items()}
    return [
        (name, parameter)
        for name, command in commands.items()
        for parameter, hint in get_type_hints(command, include_extras=True).items()
        if Path in (get_args(hint)[:1] or (hint,)) or Path in get_args((get_args(hint) or (hint,))[0])
    ]


def test_there_are_paths() -> None:
    assert {("gate", "folder"), ("run", "out"), ("compress", "out"), ("report", "tables")} <= {*paths()}


@pytest.mark.parametrize(("name", "parameter"), paths())
def test_an_empty_path_is_refused_in_one_line(name: str, parameter: str, tmp_path: Path) -> None:
    command = next(panel[name] for panel in COMMANDS.values() if name in panel)
    arguments = []
    for each, hint in get_type_hints(command, include_extras=True).items():
        declared = next((info for info in get_args(hint)[1:] if hasattr(info, "param_decls")), None)
        if each == parameter and isinstance(declared, OptionInfo):
            arguments += [next((text for text in declared.param_decls or () if text.startswith("--")), f"--{each}"), ""]
        elif declared is not None and not isinstance(declared, OptionInfo):
            arguments.append("" if each == parameter else GIVEN.get(each, "here"))
    done = crushtest(name, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"crushtest: {parameter} is an empty path; the current folder is .\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fetch", "figures"])
@pytest.mark.parametrize(("given", "says"), [("", "is an empty path"), ("s3://b/p", "is a path of this machine here")])
def test_paths_of_commands_in_a_group_are_refused_as_well(command: str, given: str, says: str, tmp_path: Path) -> None:
    done = crushtest("published", command, "xu2024", "-o", given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert not list(tmp_path.iterdir())
