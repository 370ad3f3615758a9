"""Memory that an arm leaves in pieces goes back to the system before the next arm."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from crushtest.models.memory import give_back_memory, keep_freed_memory

MEGABYTE = 2**20


def resident_bytes() -> int:
    """What this process holds of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="freed memory is kept in glibc alone")
def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    keep_freed_memory()
    before = resident_bytes()
    pieces = [b"x" * 16_384 for _ in range(4096)]
    assert resident_bytes() - before > 48 * MEGABYTE
    pieces = pieces[::64]
    held = resident_bytes()
    give_back_memory()
    assert held - resident_bytes() > 48 * MEGABYTE
    assert len(pieces) == 64  # in use until here
