"""What is printed arrives on any terminal or pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.cli.encoding import PIPE_EXIT_CODE, SIGNS, in_ascii
from support.in_process import crushtest

STUDY = """
model: fake
engine: fake
arms: [{name: other, model: fake, engine: "fake:seed=1"}]
suite: [{probe_facts: {limit: 24}}]
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_study_runs_to_its_end_where_stdout_is_not_utf_8(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    ran = [
        crushtest(*command.split(), cwd=tmp_path, encoding=encoding)
        for command in ("run --study s.yaml --out s", "compare s", "gate s --policy strict --explain")
    ]
    assert [one.returncode for one in ran] in ([0, 0, 3], [0, 0, 4])
    assert not any("Traceback" in one.stderr for one in ran)


@given(st.text(min_size=1))
def test_any_text_can_be_written_in_ascii(text: str) -> None:
    error = UnicodeEncodeError("ascii", text, 0, len(text), "test")
    written, end = in_ascii(error)
    assert written.isascii()
    assert end == len(text)


def test_signs_stand_for_what_they_mean() -> None:
    assert in_ascii(UnicodeEncodeError("ascii", "→−≤", 0, 3, "test"))[0] == "->-<="
    assert all(sign.isascii() for sign in SIGNS.values())


def test_an_argument_that_is_no_text_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crushtest", "run", "fake", "--engine", "fake", "-o", b"caf\xe9"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 2
    assert b"not UTF-8" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_the_programs_own_arguments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "caf\udce9"])
    ran = CliRunner().invoke(app, ["list", "engines"])
    assert ran.exit_code == 0, ran.output


@pytest.fixture(scope="module")
def study_of_escape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study in a folder whose name would clear a terminal."""
    folder = tmp_path_factory.mktemp("escape") / "\x1b[2Js"
    (folder.parent / "s.yaml").write_text(STUDY)
    ran = crushtest("run", "--study", "s.yaml", "--out", folder.name, cwd=folder.parent)
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.parametrize("command", ["report", "card", "compress demo -r rtn -o"])
def test_a_path_never_commands_the_terminal(command: str, study_of_escape: Path) -> None:
    ran = crushtest(*command.split(), study_of_escape.name, cwd=study_of_escape.parent)
    assert "\x1b" not in ran.stdout + ran.stderr
    assert r"\x1b[2Js" in ran.stdout + ran.stderr


@pytest.mark.parametrize("command", ["list tasks", "list methods", "list nonsense", "--help", "run --help"])
def test_a_reader_that_leaves_ends_the_program_without_a_word(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as pipe:
        ran = subprocess.run(
            [sys.executable, "-m", "crushtest", *command.split()],
            stdout=pipe,
            stderr=pipe if "nonsense" in command else subprocess.PIPE,
            check=False,
        )
    assert ran.returncode == PIPE_EXIT_CODE
    assert not ran.stderr
