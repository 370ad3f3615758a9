"""A copy of a folder in object storage on this machine, and what is known of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from crushtest.errors import StoreError
from crushtest.files.atomic import PARTIAL, replacing, write_json
from crushtest.files.cache import cache_folder
from crushtest.files.storage.address import Address, odd_part, parse_storage_address
from crushtest.files.storage.index import FileFacts, Index, digest_of, fetch
from crushtest.files.storage.store import Store, for_each
from crushtest.printing import printable

MARKER = ".report-outdated"
LOGS = {".parquet": ".jsonl", ".jsonl": ".parquet"}
"""A log that is finished or reopened takes the place of the file with the other suffix."""


WORK, READ = "work", "read"
"""The two copies of a study that a machine may have: one is written back, the other is read."""


RECORD = "record.json"


def place_of(address: Address, use: str) -> Path:
    """Return the folder in the cache that belongs to one of the copies of what is at an address."""
    return cache_folder() / "remote" / sha256(str(address).encode()).hexdigest()[:20] / use


def address_of(folder: Path) -> Address | None:
    """Return the address that a folder is a copy of; None if it is none."""
    if not folder.is_relative_to(cache_folder() / "remote"):
        return None
    with suppress(OSError, ValueError, KeyError):
        return parse_storage_address(json.loads((folder.parent / RECORD).read_text(encoding="utf-8"))["address"])
    return None


@dataclass
class Known:
    """What is known of a copy: nothing until it is a whole one.

    owner    a random name of the copy, by which its lock is known again after a kill
    commits  indexes that the copy may have written or was made from; two while one is being written
    synced   sha256 and bytes per file of the last index that was certainly written or read
    stamps   sha256, bytes, time and inode per file when it was last read here
    """

    owner: str
    commits: list[str] = field(default_factory=list)
    synced: dict[str, list[Any]] = field(default_factory=dict)
    stamps: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class LocalCopy:
    """A copy of what is at an address, in a folder of `place`, and beside it a record of what is known of it."""

    address: Address
    place: Path

    def __post_init__(self) -> None:
        self.known = self._read()

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.place / "study"

    @property
    def record(self) -> Path:
        """The file that holds what is known."""
        return self.place / RECORD

    def scan(self) -> dict[str, FileFacts]:
        """Return the copy's files as they are now. Only what changed since it was last read is read.

        Raises StoreError for a link or a name that object storage does not hold.
        """
        found: dict[str, FileFacts] = {}
        stamped: dict[str, list[Any]] = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if _is_passing(name) or (path.is_dir() and not path.is_symlink()):
                continue
            if path.is_symlink() or not path.is_file() or odd_part(name) is not None:
                raise StoreError(f"{path} cannot be kept at {self.address}: only files with plain names can")
            facts = path.stat()
            stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
            before = self.known.stamps.get(name)
            digest = before[0] if before is not None and before[1:] == stamp else digest_of(path)
            found[name] = FileFacts(digest, facts.st_size)
            stamped[name] = [digest, *stamp]
        self.known.stamps = stamped
        return found

    def holds(self, index: Index) -> bool:
        """Return True if the copy is what an index says, or that and what a killed run has done since.

        A file of the index that is gone without one in its place was not removed by a run: somebody cleaned the cache.
        """
        if index.commit not in self.known.commits:
            return False
        here = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}
        return all(name in here or name == MARKER or _twin(name) in here for name in index.files)

    def become(self, index: Index, store: Store, *, afresh: bool = False) -> int:
        """Make the copy what an index says, and return how many files were downloaded; `afresh`: all of them.

        What a killed run had done and not uploaded is set aside, with a line. Raises StoreError if a file cannot be
        downloaded as the index says it is.
        """
        here = self._cleared()
        lacking = [name for name, facts in index.files.items() if afresh or here.get(name) != facts]
        lacking = [name for name in lacking if afresh or not self._is_beside(name, index.files[name])]
        for_each(lacking, lambda name: fetch(store, index, name, self.folder / name))
        for name in here.keys() - index.files.keys():
            (self.folder / name).unlink(missing_ok=True)
        self.scan()
        self.is_at(index)
        return len(lacking)

    def take_as_it_lies(self, store: Store, sizes: Mapping[str, int]) -> Index:
        """Make the copy what is at an address without an index, and return an index of it that is not written yet."""
        for name in self._cleared():
            (self.folder / name).unlink(missing_ok=True)
        for name in sizes:
            if (problem := odd_part(name)) is not None:
                raise StoreError(f"{self.address} holds an object that no study has: {problem}")
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        for_each(sizes, lambda name: store.download(name, self.folder / name))
        return Index(0, token_hex(8), self.scan())

    def _is_beside(self, name: str, facts: FileFacts) -> bool:
        """Take a file from this machine's other copy; return False if that has none with this content."""
        other = place_of(self.address, READ if self.place.name == WORK else WORK) / "study" / name
        with suppress(OSError), replacing(self.folder / name) as temporary:
            shutil.copyfile(other, temporary)
            if digest_of(temporary) != facts.sha256:
                raise FileNotFoundError(other)
            return True
        return False

    def is_at(self, index: Index) -> None:
        """Write down that the copy is what an index says."""
        self.known.commits = [index.commit]
        self.known.synced = {name: list(facts) for name, facts in index.files.items()}
        self.save()

    def _cleared(self) -> dict[str, FileFacts]:
        """Return the copy's files after it was written down that they are of no index; without what was set aside."""
        self.folder.mkdir(parents=True, exist_ok=True)
        here = self.scan()
        if self.known.commits and here and here != {name: tuple(facts) for name, facts in self.known.synced.items()}:
            self._set_aside()
            here = {}
        self.known.commits, self.known.synced = [], {}
        self.save()
        return here

    def save(self) -> None:
        """Write down what is known."""
        write_json(self.record, {"address": str(self.address), **asdict(self.known)})

    def _read(self) -> Known:
        """Return what is known; of a copy without a record, or with one that cannot be read, nothing."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            value = json.loads(self.record.read_text(encoding="utf-8"))
            return Known(
                owner=str(value["owner"]),
                commits=list(value["commits"]),
                synced=dict(value["synced"]),
                stamps=dict(value["stamps"]),
            )
        return Known(token_hex(8))

    def _set_aside(self) -> None:
        aside = self.folder.with_name(f"{self.folder.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(2)}")
        os.rename(self.folder, aside)
        self.folder.mkdir()
        self.known.stamps = {}
        note = (
            f"{self.address}: another machine has gone on with this study; what this one had not uploaded is kept in "
            f"{aside}"
        )
        print(printable(note), file=sys.stderr)


def _is_passing(name: str) -> bool:
    """Return True for a lock, and for what is being written and not yet under its own name."""
    parts = name.split("/")
    return parts[-1] == ".lock" or any(part.startswith(".") and part.endswith(PARTIAL) for part in parts)


def _twin(name: str) -> str | None:
    stem, dot, suffix = name.rpartition(".")
    return stem + LOGS[dot + suffix] if dot + suffix in LOGS else None
