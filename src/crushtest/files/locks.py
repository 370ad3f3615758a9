"""A folder that one process at a time may write to."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crushtest.errors import StoreError
from crushtest.files.atomic import remove_partial


@contextmanager
def lock_folder(root: Path, busy: str) -> Iterator[None]:
    """Make a folder and lock it for this process, without what a killed one left half-written.

    busy  what another process that holds the lock is doing: `another run is writing to this study`

    Raises StoreError if another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{root}: {busy}; wait for it or stop it") from None
        remove_partial(root)
        yield
