"""The index of a folder in object storage: which files it holds, as one object that makes them so."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from crushtest.errors import StoreError, TakenOver
from crushtest.files.atomic import replacing
from crushtest.files.sealed import BLANK, SEAL, is_whole, sealed
from crushtest.files.storage.address import odd_part
from crushtest.files.storage.store import Store, for_each

OWN = ".crushtest"
"""The folder at an address that holds what the synchronisation needs."""
STAGED = f"{OWN}/new"
FORMAT = 1
_INDEX = re.compile(rf"{re.escape(OWN)}/index-(\d{{8}})\.json")


class FileFacts(NamedTuple):
    """Which content a file has."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Index:
    """Which files a folder in object storage holds.

    generation  how many indexes there were before it; each is an object of its own, which is written once
    commit      a random name, by which a working copy knows an index that it wrote
    staged      files whose content may still be below STAGED
    removed     files that may still be there and are not of the folder any more
    """

    generation: int
    commit: str
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    staged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"{OWN}/index-{self.generation:08d}.json"

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(facts.size_bytes for facts in self.files.values())

    def content(self) -> bytes:
        """Return the object's bytes, with a seal."""
        files = {name: facts._asdict() for name, facts in sorted(self.files.items())}
        value = {"format": FORMAT, **asdict(self), "files": files, SEAL: BLANK}
        return sealed((json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


def digest_of(file: Path) -> str:
    """Return the sha256 of a file, read piece by piece."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def staged_name(sha256: str) -> str:
    """Return the name under which content waits until it is under its own name."""
    return f"{STAGED}/{sha256}"


def read_index(store: Store) -> Index | None:
    """Return the newest whole index, None if there is none. Raises StoreError if none of several is whole."""
    while True:
        names = sorted((name for name in store.sizes(OWN) if _INDEX.fullmatch(name)), reverse=True)
        contents = ((name, store.read(name)) for name in names)
        for name, content in contents:
            if content is None:
                break  # a newer one was written while this one was read
            if is_whole(content):
                return _parsed(store, name, json.loads(content))
        else:
            if names:
                raise StoreError(f"{store.at(names[0])} is damaged; restore it, or {taken_as_it_lies(store)}")
            return None


def taken_as_it_lies(store: Store) -> str:
    """Return the way out where an index and the files do not fit."""
    return f"remove {store.at(OWN)}, and the folder is taken as it lies"


def _parsed(store: Store, name: str, value: Any) -> Index:
    """Return the index that an object holds. Raises StoreError for one of a newer version, or with odd names."""
    if value.get("format") != FORMAT:
        raise StoreError(f"{store.at(name)} was written by another version of crushtest (format {value.get('format')})")
    files = {path: FileFacts(**facts) for path, facts in value["files"].items()}
    for path in (*files, *value["staged"], *value["removed"]):
        if (problem := odd_part(path)) is not None:
            raise StoreError(f"{store.at(name)} names a file that no study has: {problem}")
    return Index(
        generation=value["generation"],
        commit=value["commit"],
        files=files,
        staged=tuple(value["staged"]),
        removed=tuple(value["removed"]),
    )


def publish(
    store: Store, before: Index, files: Mapping[str, FileFacts], local: Path, *, commit: str, check: Callable[[], None]
) -> Index:
    """Make `files`, which are below `local`, the content of the folder after `before`, and return the new index.

    Until the index is written nothing has changed; from then on everything has, and `settle` puts it where it belongs.
    `check` is called last before that.
    Raises TakenOver if another machine has written an index since `before`, StoreError if an upload fails.
    """
    changed = tuple(name for name, facts in sorted(files.items()) if before.files.get(name) != facts)
    for_each(changed, lambda name: store.upload(local / name, staged_name(files[name].sha256)))
    index = Index(
        before.generation + 1,
        commit,
        dict(files),
        staged=changed,
        removed=tuple(sorted(before.files.keys() - files.keys())),
    )
    check()
    write_index(store, index)
    return index


def write_index(store: Store, index: Index) -> None:
    """Write an index. Raises TakenOver if there is one of its generation."""
    if not store.create(index.name, index.content()):
        raise _gone_on(store)


def _gone_on(store: Store) -> TakenOver:
    return TakenOver(f"{store.address}: another machine has gone on with this study; nothing of its was overwritten")


def settle(store: Store, index: Index) -> None:
    """Put what an index has staged under its own names, and remove what it does not need.

    It may be called again at any time: content that is not staged any more is in its place. Raises TakenOver if there
    is a newer index: older ones are removed, so that one could be written again in the place of one of them.
    """
    held = store.sizes(OWN)
    if any(name > index.name for name in held if _INDEX.fullmatch(name)):
        raise _gone_on(store)
    waiting = [name for name in index.staged if staged_name(index.files[name].sha256) in held]
    for_each(waiting, lambda name: store.copy(staged_name(index.files[name].sha256), name))
    for_each(index.removed, store.remove)
    debris = [name for name in held if name.startswith(f"{STAGED}/") or (_INDEX.fullmatch(name) and name < index.name)]
    for_each(debris, store.remove)


def fetch(store: Store, index: Index, name: str, target: Path) -> None:
    """Download a file as an index lists it. Raises StoreError if the store does not hold that content."""
    facts = index.files[name]
    sources = [staged_name(facts.sha256)] if name in index.staged else []
    with replacing(target) as temporary:
        for source in (*sources, name):
            if store.download(source, temporary) and digest_of(temporary) == facts.sha256:
                return
        raise StoreError(
            f"{store.at(name)} is not the file that {store.at(index.name)} lists; restore the one that was, or "
            f"{taken_as_it_lies(store)}"
        )
