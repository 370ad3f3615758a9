"""A command in a terminal of 80 columns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WIDTH = 80


def in_terminal(*arguments: str, cwd: Path | None = None, width: int = WIDTH) -> list[str]:
    """Return the lines that a command prints in a terminal. Skips where there are no pseudo-terminals."""
    pty = pytest.importorskip("pty")
    here, there = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "dumb"}
    command = [sys.executable, "-m", "crushtest", *arguments]
    with subprocess.Popen(command, stdout=there, stderr=subprocess.DEVNULL, env=environment, cwd=cwd):
        os.close(there)
        content = bytearray()
        while True:
            try:
                part = os.read(here, 65536)
            except OSError:  # Linux says so when the last writer is gone
                break
            if not part:
                break
            content += part
    os.close(here)
    return content.decode().replace("\r\n", "\n").splitlines()
