"""A command in the test's own process: one of its own imports for a second or more before it begins.

That every command starts in a fresh process is tested in tests/cli/test_envelope.py.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import TextIO
from unittest import mock

import pytest

from crushtest.cli import main


def crushtest(*arguments: str, cwd: Path | None = None, encoding: str = "utf-8") -> CompletedProcess[str]:
    """Return what a command ends with and prints to pipes of an encoding, as `subprocess.run` does."""
    out, err = io.BytesIO(), io.BytesIO()
    code = command(*arguments, out=_pipe(out, encoding), err=_pipe(err, encoding), cwd=cwd)
    return CompletedProcess(arguments, code, out.getvalue().decode(encoding), err.getvalue().decode(encoding))


def _pipe(content: io.BytesIO, encoding: str) -> TextIO:
    return io.TextIOWrapper(content, encoding=encoding, newline="\n", write_through=True)


def command(*arguments: str, out: TextIO, err: TextIO, cwd: Path | None = None) -> int:
    """Return what a command ends with that prints to these streams, and undo what it changed in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):
            patch.setattr(sys, "argv", ["crushtest", *arguments])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            if cwd is not None:
                patch.chdir(cwd)
            with pytest.raises(SystemExit) as left:
                main()
    finally:
        signal.signal(signal.SIGTERM, before)
    code = left.value.code or 0
    assert isinstance(code, int)
    return code
