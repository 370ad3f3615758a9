"""A command in a terminal of 80 columns."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from support.in_process import command

WIDTH = 80


def in_terminal(*arguments: str, cwd: Path | None = None, width: int = WIDTH) -> list[str]:
    """Return the lines that a command prints in a terminal. Skips where there are no pseudo-terminals."""
    pty = pytest.importorskip("pty")
    here, there = pty.openpty()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": str(width), "TERM": "dumb"}),
        ThreadPoolExecutor(1) as reader,  # a terminal takes only so much that nobody reads
    ):
        content = reader.submit(_until_closed, here)
        with open(there, "w", encoding="utf-8") as terminal:
            command(*arguments, out=terminal, err=io.StringIO(), cwd=cwd)
        printed = content.result()
    os.close(here)
    return printed.decode().replace("\r\n", "\n").splitlines()


def _until_closed(terminal: int) -> bytes:
    content = bytearray()
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last writer is gone
            return bytes(content)
        if not part:
            return bytes(content)
        content += part
