"""A copy of a study in object storage, to read: as one index says it is, and never half of another."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crushtest.errors import StoreError
from crushtest.files.storage.address import Address
from crushtest.files.storage.index import Index, read_index
from crushtest.files.storage.store import Store
from crushtest.pipeline.remote.local_copy import READ, LocalCopy, place_of
from crushtest.pipeline.remote.working_copy import objects, say
from crushtest.report.formats import show_bytes
from crushtest.stats.verdicts import counted

TIMES = 5
"""How often a study is read again that changed while it was read."""


@contextmanager
def reading_copy(address: Address, *, afresh: bool = False, or_none: bool = False) -> Iterator[Path]:
    """Yield a folder with the study at an address, whole.

    What this machine has read before is not downloaded again, unless `afresh`, which checks what the address holds now.
    Nothing is written to the address. Where nothing is yet, the folder is empty if that will do (`or_none`). Raises
    StoreError if there is no study, if it cannot be reached, if what is there
    is not what its index lists, and if it changes as fast as it is read.
    """
    place, store = place_of(address, READ), Store(address)
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for another command of this machine that reads it
        local = LocalCopy(address, place)
        downloaded = _refresh(local, store, afresh=afresh, or_none=or_none)
        files = local.known.synced.values()
        size = show_bytes(sum(facts[1] for facts in files))
        say(f"{address}: {counted(len(files), 'file')}, {size}, {downloaded} of them downloaded")
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield local.folder


def _refresh(local: LocalCopy, store: Store, *, afresh: bool, or_none: bool) -> int:
    """Make the copy what the newest index says, and return how many files were downloaded."""
    for time in range(1, TIMES + 1):
        index = read_index(store)
        local.known.commits = []  # nobody works on this copy, so nothing in it is worth setting aside
        if index is None:
            return _without_index(local, store, or_none=or_none)
        if "study.yaml" not in index.files and not or_none:
            raise StoreError(f"{store.address} holds no study yet: a run began there and has not finished a part")
        try:
            return local.become(index, store, afresh=afresh)
        except StoreError:
            newer = read_index(store)
            if newer is None or newer.commit == index.commit or time == TIMES:
                raise
    raise AssertionError("unreachable: the last time returns or raises")


def _without_index(local: LocalCopy, store: Store, *, or_none: bool) -> int:
    """Download a study that was copied to an address by other means; nothing says what its files must be."""
    sizes = objects(store)
    if "study.yaml" not in sizes and (sizes or not or_none):
        beside = f" ({counted(len(sizes), 'other object')})" if sizes else ""
        raise StoreError(f"{store.address} is not a study: it has no study.yaml{beside}")
    index: Index = local.take_as_it_lies(store, sizes)
    local.is_at(index)
    return len(index.files)
