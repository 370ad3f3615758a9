"""Atomic writes: a file is written under another name, then renamed, so that it is never seen half written."""

from __future__ import annotations

import errno
import filecmp
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from crushtest.errors import StoreError

PARTIAL = ".partial"


def file_name(name: str) -> str:
    """Return a name as one path component that any file system and artifact store takes.

    The usual characters of recipes stay readable, but for the colon, which Windows refuses. Raises StoreError for the
    empty name, whose path would be the folder itself.
    """
    if not name:
        raise StoreError("an empty name cannot name a file; give the arm, task or scorer a name")
    return quote(name, safe=" =,+#@").replace("..", "%2E%2E") if name != "." else "%2E"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path and rename it to `path` on success; remove it on failure.

    The data is fsynced before this returns, so its sources may be removed then. If the new content equals the old, the
    file is not touched. OSErrors are given the file's name, which the system leaves out when a disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield temporary
        if path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            return
        flush(temporary)  # a rename may reach the disk before the data does
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def refuse_unwritable(folder: Path) -> None:
    """Raise the OSError that making a folder would raise if it is not there, as far as that shows; make nothing."""
    above = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def make_writable(folder: Path) -> None:
    """Create a folder if necessary. Raises OSError unless files can be written into it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def flush(file: Path) -> None:
    """Wait until a file's data is on the disk."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk, if its file system can say so."""
    with suppress(OSError):
        flush(folder)


def remove_partial(folder: Path) -> None:
    """Remove partial files that a killed process left below a folder that nobody else is writing to.

    Partial folders are left alone: they belong to models, and whoever saves one need not hold the study's lock.
    """
    for path in folder.rglob(f".*{PARTIAL}"):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
