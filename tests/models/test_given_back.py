"""Memory that an arm leaves in pieces goes back to the system before the next arm."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from crushtest.models.memory import give_back_memory, keep_freed_memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024

keep_freed_memory()
before = held()
pieces = [b"x" * 16_384 for _ in range(4096)]
filled = held()
pieces = pieces[::64]  # in use until the end
left = held()
give_back_memory()
print(filled - before, left - before, held() - before, len(pieces))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="freed memory is kept in glibc alone")
def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    """In a process of its own: in one that has freed much before, nothing new is taken."""
    program = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    filled, left, held, _ = map(float, program.stdout.split())
    assert filled > 60
    assert left > 60
    assert held < 16
