"""The copy of a study in object storage that this machine works on, and writes back part by part."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from crushtest.errors import StoreError, TakenOver
from crushtest.files.locks import lock_folder
from crushtest.files.storage.address import Address
from crushtest.files.storage.index import OWN, Index, publish, read_index, settle, taken_as_it_lies, write_index
from crushtest.files.storage.lock import Lock
from crushtest.files.storage.store import Store
from crushtest.pipeline.remote.local_copy import WORK, LocalCopy, place_of
from crushtest.printing import printable
from crushtest.report.formats import show_bytes
from crushtest.stats.verdicts import counted

EVERY_S = 60.0
"""Answers of a task that is not finished are uploaded as often as this, or less."""
KEPT = "what was not uploaded is kept on this machine in"
SHARE = 0.05
"""Share of the time that uploading such answers may take."""


@dataclass
class WorkingCopy:
    """A copy of a study that this process alone may write to, here and at its address."""

    local: LocalCopy
    store: Store
    lock: Lock
    index: Index
    _saved_at: float = field(default_factory=time.monotonic)
    _took_s: float = 0.0
    _unsettled: bool = False

    @property
    def folder(self) -> Path:
        """The study's folder on this machine."""
        return self.local.folder

    def save(self) -> bool:
        """Upload what has changed; return False if nothing has.

        Until all of it is there, the address holds what it held before. Raises StoreError if that fails: nothing is
        lost, and it may be tried again; and TakenOver if another machine has gone on with the study.
        """
        self._learn()
        self._settle()  # or the next index would forget, and let be removed, what still waits to be put in its place
        files = self.local.scan()
        changed = files != self.index.files
        if changed:
            commit = token_hex(8)
            self.local.known.commits.append(commit)
            self.local.save()  # before the index is written, so that this machine knows it after a kill
            self.index = publish(self.store, self.index, files, self.folder, commit=commit, check=self.lock.check)
            self._unsettled = True
            self._settle()
        return changed

    def _settle(self) -> None:
        """Put what the newest index has uploaded under its own names, unless that is done."""
        if self._unsettled:
            settle(self.store, self.index)
            self.local.is_at(self.index)
            self._unsettled = False

    def _learn(self) -> None:
        """Find out whether an index was written whose upload seemed to fail."""
        if len(self.local.known.commits) < 2:
            return
        newest = read_index(self.store)
        if newest is not None and newest.commit in self.local.known.commits:
            self.index = newest
            self._unsettled = True

    def part_done(self, tell: Callable[[str], None]) -> None:
        """Upload what has changed. A failure is told, and what was not uploaded is tried again with the next part."""
        began = time.monotonic()
        try:
            self.save()
        except TakenOver:
            raise
        except StoreError as error:
            tell(f"not uploaded, which is tried again later: {error}")
        self._saved_at = time.monotonic()
        self._took_s = self._saved_at - began

    def tick(self, tell: Callable[[str], None]) -> bool:
        """Upload the answers so far if it is time; return True if it was."""
        if time.monotonic() - self._saved_at < max(EVERY_S, self._took_s / SHARE):
            return False
        self.part_done(tell)
        return True


@contextmanager
def working_copy(address: Address) -> Iterator[WorkingCopy]:
    """Yield this machine's working copy of a study, as it is at its address or further; upload it at the end.

    It is uploaded after an error as well, so that any machine can go on from there. Raises StoreError if another
    process is writing to the study, if the address holds something else, and if it cannot be reached.
    """
    place, store = place_of(address, WORK), Store(address)
    with lock_folder(place, f"another process of this machine is writing to {address}"):
        local = LocalCopy(address, place)
        lock = Lock(store, local.known.owner)
        local.save()
        with lock.held():
            copy = _opened(local, store, lock)
            try:
                yield copy
            except TakenOver:
                raise
            except BaseException:
                try:
                    copy.save()
                except StoreError as error:
                    say(f"{error}; {KEPT} {place}")
                raise
            try:
                copy.save()
            except TakenOver:
                raise
            except StoreError as error:
                raise StoreError(f"{error}; {KEPT} {place}, and the same command uploads it") from None
            sizes = [facts[1] for facts in local.known.synced.values()]
            say(f"{address}: {counted(len(sizes), 'file')}, {show_bytes(sum(sizes))}, all uploaded")


def _opened(local: LocalCopy, store: Store, lock: Lock) -> WorkingCopy:
    """Return a working copy on the newest index, behind a new one that keeps earlier writers out."""
    while True:
        index, downloaded = read_index(store), 0
        if index is None:
            index = _without_index(local, store)
            downloaded = len(index.files)
        elif not local.holds(index):
            downloaded = local.become(index, store)
        # What was staged for this index still is, so the new one stages it as well.
        fence = replace(index, generation=index.generation + 1, commit=token_hex(8))
        local.known.commits.append(fence.commit)
        local.save()
        try:
            write_index(store, fence)
            settle(store, fence)
        except TakenOver:
            continue  # a writer that was thought to be gone has written one more
        check_whole(store, fence)
        local.is_at(fence)
        files = counted(len(fence.files), "file")
        held = f"{files}, {show_bytes(fence.size_bytes)}, {downloaded} of them downloaded"
        say(f"{store.address}: {held if fence.files else 'nothing there yet'}; working copy in {local.folder}")
        return WorkingCopy(local, store, lock, fence)


def _without_index(local: LocalCopy, store: Store) -> Index:
    """Return an index of what is at an address that has none: nothing yet, or a study that was copied there."""
    sizes = objects(store)
    if sizes and "study.yaml" not in sizes:
        raise StoreError(f"{store.address} holds {counted(len(sizes), 'object')} and no study; choose another --out")
    return local.take_as_it_lies(store, sizes)


def objects(store: Store) -> dict[str, int]:
    """Return the sizes of the objects at an address that are not of the synchronisation, by name."""
    return {name: size for name, size in store.sizes().items() if not name.startswith(f"{OWN}/")}


def check_whole(store: Store, index: Index) -> None:
    """Raise StoreError if an object is missing that a settled index lists, or has another size."""
    sizes = objects(store)
    for name, facts in index.files.items():
        if sizes.get(name) != facts.size_bytes:
            problem = (
                "is missing" if name not in sizes else f"has {sizes[name]:,} bytes instead of {facts.size_bytes:,}"
            )
            listed = f"which {store.at(index.name)} lists"
            raise StoreError(f"{store.at(name)} {problem}, {listed}; restore it, or {taken_as_it_lies(store)}")


def say(text: str) -> None:
    """Print a line on stderr."""
    print(printable(f"crushtest: {text}"), file=sys.stderr)
