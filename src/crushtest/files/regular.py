"""Read files of a study whole, and refuse folders, pipes and looping links that stand in their place."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from crushtest.errors import StoreError

OF_THE_MACHINE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing about the file, so that removing it would not help."""


def read_bytes(path: Path, *, remedy: str) -> bytes:
    """Return a file's content. Raises StoreError, with `remedy`, unless it is a regular file that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # or a pipe would wait for a writer
        try:
            mode = os.fstat(descriptor).st_mode
            if not S_ISREG(mode):
                kind = "it is a folder" if S_ISDIR(mode) else "it is no regular file"
                raise StoreError(f"{path} cannot be read ({kind}); {remedy}")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        raise StoreError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from None


def read_text(path: Path, *, remedy: str) -> str:
    """Return a UTF-8 file's text. Raises StoreError as `read_bytes` does, and if it is not UTF-8."""
    try:
        return read_bytes(path, remedy=remedy).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} cannot be read ({error}); {remedy}") from None


def sha256(content: bytes) -> str:
    """Return the digest by which files name each other: that of all their bytes, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()
