"""Files that are whole or not there: written under another name, then renamed."""

from __future__ import annotations

import errno
import filecmp
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crushtest.errors import StoreError

if TYPE_CHECKING:
    import polars as pl


PARTIAL = ".partial"


def file_name(name: str) -> str:
    """A name as one safe path component; the usual characters of recipes stay readable.

    Raises StoreError for the empty name, whose path would be the folder itself.
    """
    if not name:
        raise StoreError("a name that is empty cannot name a file; give the arm, task or scorer a name")
    return quote(name, safe=" :=,+#@").replace("..", "%2E%2E") if name != "." else "%2E"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well, and vanishes when it does not.

    It is on the disk itself when this returns: what it was made from may be removed then. A file that holds the same
    already is left as it is. An OSError names the file: of a full disk the system says no more than that it is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield temporary
        if path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            return
        flush(temporary)  # a rename may reach the disk before what was written into the file
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make a folder, if it is not there, and raise OSError unless files can be written into it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def flush(file: Path) -> None:
    """Wait until what was written into a file is on the disk."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its file system can say so."""
    with suppress(OSError):
        flush(folder)


def remove_partial(folder: Path) -> None:
    """Remove the files that a killed process had begun to write below a folder to which nobody writes now.

    Folders of that name are a model's, saved by a process that need not hold the study: they are left alone.
    """
    for path in folder.rglob(f".*{PARTIAL}"):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], schema: pl.Schema) -> None:
    """Write a table, whole or not at all; the same rows give the same bytes."""
    import polars as pl

    with replacing(path) as temporary:
        pl.DataFrame(list(rows), schema=schema).write_parquet(temporary)
