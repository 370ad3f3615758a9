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
from unittest import mock

import pytest

from crushtest.cli import main


def crushtest(*arguments: str, cwd: Path | None = None) -> CompletedProcess[str]:
    """Return what a command ends with and prints, as `subprocess.run` does."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
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
    code = left.value.code
    assert code is None or isinstance(code, int)
    return CompletedProcess(arguments, code or 0, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")
