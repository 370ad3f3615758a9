"""Folders of studies, wherever they are: on this machine as they are, at an address as a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from crushtest.errors import CrushtestError
from crushtest.files.storage.address import Address, is_address, parse_storage_address
from crushtest.pipeline.remote.local_copy import READ, WORK, LocalCopy, address_of, place_of
from crushtest.pipeline.remote.reading_copy import reading_copy
from crushtest.pipeline.remote.working_copy import WorkingCopy, working_copy


class Opened(NamedTuple):
    """A study's folder on this machine, and the working copy that it is; None for a folder or a copy to read."""

    folder: Path
    copy: WorkingCopy | None


@contextmanager
def opened(study: Path | str, *, writes: bool, afresh: bool = False, or_none: bool = False) -> Iterator[Opened]:
    """Yield the folder of a study that is named by a path or by an address, for reading or for writing.

    afresh   download what this machine has read before as well
    or_none  read an empty folder where nothing is yet

    Errors name the address instead of the copy. Raises UsageError for an address that is not allowed, StoreError as
    `working_copy` and `reading_copy` do.
    """
    if not is_address(study):
        yield Opened(Path(study), None)
        return
    address = parse_storage_address(study)
    with _naming(address):
        if writes:
            with working_copy(address) as copy:
                yield Opened(copy.folder, copy)
        else:
            with reading_copy(address, afresh=afresh, or_none=or_none) as folder:
                yield Opened(folder, None)


@contextmanager
def _naming(address: Address) -> Iterator[None]:
    try:
        yield
    except CrushtestError as error:
        error.args = (named(str(error.args[0]), address), *error.args[1:]) if error.args else ()
        raise


def by_address(text: str, folder: Path) -> str:
    """Return a text with the address in the place of a folder, if the folder is a copy of what is there."""
    address = address_of(folder)
    return text if address is None else named(text, address)


def named(text: str, address: Address) -> str:
    """Return a text with the address in the place of its copies' folders."""
    for use in (WORK, READ):
        text = text.replace(str(LocalCopy(address, place_of(address, use)).folder), str(address))
    return text
