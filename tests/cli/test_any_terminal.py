"""What is printed arrives on any terminal or pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.cli.encoding import SIGNS, in_ascii

STUDY = """
model: fake
engine: fake
arms: [{name: other, model: fake, engine: "fake:seed=1"}]
suite: [{probe_facts: {limit: 24}}]
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_study_runs_to_its_end_where_stdout_is_not_utf_8(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    ran = [
        subprocess.run(
            [sys.executable, "-m", "crushtest.cli", *command.split()],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        for command in ("run --study s.yaml --out s", "compare s", "gate s --policy strict --explain")
    ]
    assert [one.returncode for one in ran] in ([0, 0, 3], [0, 0, 4])
    assert not any(b"Traceback" in one.stderr for one in ran)
    for one in ran:
        (one.stdout + one.stderr).decode(encoding)


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
    command = [sys.executable, "-m", "crushtest.cli", "run", "fake", "--engine", "fake", "-o", b"caf\xe9"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 2
    assert b"not UTF-8" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
