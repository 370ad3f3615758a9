"""A folder that one process at a time may write to."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crushtest.errors import StoreError
from crushtest.files.atomic import remove_partial


def refuse_if_locked(root: Path, busy: str) -> None:
    """Raise StoreError if another process holds the folder's lock: what a command asks before it does any work.

    The lock may still be taken by another process afterwards, so whoever writes takes it with `lock_folder`.
    """
    path = root / ".lock"
    if not path.exists():
        return
    with path.open("a") as lock:
        _take(lock, root, busy)


@contextmanager
def lock_folder(root: Path, busy: str) -> Iterator[None]:
    """Make a folder and lock it for this process, without what a killed one left half-written.

    busy  what another process that holds the lock is doing: `another run is writing to this study`

    Raises StoreError if another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a") as lock:
        _take(lock, root, busy)
        remove_partial(root)
        yield


def _take(lock: IO[str], root: Path, busy: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{root}: {busy}; wait for it or stop it") from None
