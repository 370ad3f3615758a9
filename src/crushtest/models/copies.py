"""Models in object storage: copied once to a machine, into its cache, and read there as folders and files are.

    models/copies/<address>/<content>/...    the files; one is under its own name only if it is whole
    models/copies/<address>/<content>.json   what the address held: names, bytes, and the store's marks of contents

A name for what the address holds is made of the listing, so that another content never lies beside an earlier one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event

from crushtest.errors import ModelError
from crushtest.files.atomic import remove_partial, replacing, write_json
from crushtest.files.cache import cache_folder
from crushtest.files.storage.address import Address, is_address, odd_part, parse_storage_address
from crushtest.files.storage.store import Facts, Store, for_each
from crushtest.models.checkpoint import Checkpoint, read_folder, read_gguf, read_quantization
from crushtest.models.hub import PATTERNS
from crushtest.printing import printable
from crushtest.printing.sizes import show_size

GGUF = ".gguf"
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
TEMPLATES = "additional_chat_templates/"
"""The one folder within a model's whose files are read."""
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)


def is_stored(spec: str) -> bool:
    """Return True if a spec is an address of object storage."""
    return "://" in spec and is_address(spec) and not spec.lower().startswith(("http://", "https://"))


def is_gguf(spec: str) -> bool:
    """Return True if a spec names a GGUF file, here or at an address."""
    return spec.lower().endswith(GGUF)


def cached(spec: str, *, allow_pickle: bool = False, unread: bool = False) -> Checkpoint | None:
    """Return the copy that was last looked up, if it is here and whole. Asks nobody. Raises ModelError as a folder."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        newest = max(_place(spec).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        files = {name: Facts(*facts) for name, facts in json.loads(newest.read_text(encoding="utf-8"))["files"].items()}
        held = Held(spec, files, newest.with_suffix(""))
        if not held.lacking(held.wanted(allow_pickle=allow_pickle)):
            return held.read(allow_pickle=allow_pickle, unread=unread)
    return None


def check(spec: str, *, allow_pickle: bool = False, here: bool = True) -> None:
    """Ask the address whether it holds a model; ModelError says why not. Copies nothing.

    here  whether its weights are to be copied to this machine, which then needs room for them
    """
    held = _look(spec)
    held.refuse(allow_pickle=allow_pickle)
    if here:
        held.refuse_full_disk(held.lacking(held.wanted(allow_pickle=allow_pickle)))


def without_weights(spec: str, *, allow_code: bool = False, unread: bool = False) -> Checkpoint:
    """Return the model's files but its weights, copied if they are not here. A GGUF file is copied whole."""
    if is_gguf(spec):
        return fetch(spec, unread=unread)
    held = _look(spec)
    held.refuse(allow_pickle=True)
    names = [name for name in held.wanted(allow_code=allow_code) if not _is_weights(name)]
    _copy(held, names)
    with held.naming_the_address():
        quantization = None if unread else read_quantization(held.folder)
        return Checkpoint(held.folder, (), held.format, quantization=quantization)


def fetch(spec: str, *, allow_pickle: bool = False, allow_code: bool = False, unread: bool = False) -> Checkpoint:
    """Return the model that an address holds now, copied to this machine unless that copy is here.

    Raises ModelError for what is no model, changes meanwhile or finds no room, StoreError if it cannot be reached.
    """
    held = _look(spec)
    held.refuse(allow_pickle=allow_pickle)
    _copy(held, held.wanted(allow_pickle=allow_pickle, allow_code=allow_code))
    return held.read(allow_pickle=allow_pickle, unread=unread)


@dataclass(frozen=True)
class Held:
    """What an address holds, and the folder here that this content belongs in."""

    spec: str
    files: Mapping[str, Facts]
    folder: Path

    @property
    def format(self) -> str:
        """The format of its weights, as far as names tell."""
        return "safetensors" if any(name.endswith(".safetensors") for name in self.files) else "pickle"

    def wanted(self, *, allow_pickle: bool = False, allow_code: bool = False) -> list[str]:
        """Return the files that a model consists of; pickles and code only if they are allowed."""
        if is_gguf(self.spec):
            return list(self.files)
        patterns = [*PATTERNS, *["*.bin"] * allow_pickle, *["*.py"] * allow_code]
        return [name for name in self.files if any(fnmatch(name, pattern) for pattern in patterns)]

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Return which of these files are not here."""
        return [name for name in names if not _has(self.folder / name, self.files[name].size_bytes)]

    def refuse(self, *, allow_pickle: bool) -> None:
        """Raise ModelError unless the names are those of a model."""
        if is_gguf(self.spec):
            if self.spec.rpartition("/")[2] not in self.files:  # other parts of the model may be there
                raise ModelError(f"model {self.spec!r}: there is no such object at this address")
            return
        if not self.files:
            raise ModelError(f"model {self.spec!r}: there is no object at this address")
        if "config.json" not in self.files:
            raise ModelError(f"model {self.spec!r}: no config.json there; not a model folder")
        kinds = [pattern for pattern in WEIGHTS if any(fnmatch(name, pattern) for name in self.files)]
        if "*.safetensors" in kinds or ("*.bin" in kinds and allow_pickle):
            return
        if "*.bin" in kinds:
            raise ModelError(
                f"model {self.spec!r}: its weights are pickled, which can run any code when loaded; allow pickle "
                "explicitly if you trust them, or convert them to safetensors"
            )
        hint = "; name the .gguf file itself" if kinds else "; model.safetensors or its shards are needed"
        raise ModelError(f"model {self.spec!r}: no weights{hint}")

    def refuse_full_disk(self, names: Sequence[str]) -> None:
        """Raise ModelError if the disk of the cache has no room for these files."""
        needed = self.size_bytes(names)
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise ModelError(
                f"model {self.spec!r}: {show_size(needed)} to copy, {show_size(free)} left where the cache is "
                f"({cache_folder()}); CRUSHTEST_CACHE moves it"
            )

    def size_bytes(self, names: Sequence[str]) -> int:
        """Return how large these files are together."""
        return sum(self.files[name].size_bytes for name in names)

    def read(self, *, allow_pickle: bool, unread: bool) -> Checkpoint:
        """Return the checkpoint in the copy. Raises ModelError as for a folder, which names the address."""
        with self.naming_the_address():
            if is_gguf(self.spec):
                return read_gguf(self.folder / self.spec.rpartition("/")[2], unread=unread)
            return read_folder(self.folder, allow_pickle=allow_pickle, unread=unread)

    @contextmanager
    def naming_the_address(self) -> Iterator[None]:
        """Put the address in the place of the copy's folder in errors."""
        address = self.spec.rpartition("/")[0] if is_gguf(self.spec) else self.spec
        try:
            yield
        except ModelError as error:
            raise ModelError(str(error).replace(str(self.folder), address)) from None


def _address(spec: str) -> Address:
    """Return the address of the model's folder; of a GGUF file, the one that it lies in."""
    address = parse_storage_address(spec)
    if is_gguf(spec):
        return Address(address.protocol, address.path.rpartition("/")[0])
    return address


def _place(spec: str) -> Path:
    """Return where copies of what is at an address belong. Files in one folder there have places of their own."""
    address = str(parse_storage_address(spec))
    return cache_folder() / "models" / "copies" / hashlib.sha256(address.encode()).hexdigest()[:20]


def _look(spec: str) -> Held:
    """Ask an address what it holds."""
    address = _address(spec)
    store = Store(address)
    if is_gguf(spec):
        found = {name: store.facts(name) for name in _parts(parse_storage_address(spec).path.rpartition("/")[2])}
        files = {name: facts for name, facts in found.items() if facts is not None}
    else:
        listed = store.listed(depth=2)
        files = {name: facts for name, facts in sorted(listed.items()) if _is_of_a_model(name)}
    content = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:20]
    return Held(spec, files, _place(spec) / content)


def _parts(name: str) -> list[str]:
    """Return the names of the files that hold a GGUF model together with this one."""
    if (match := _PART.fullmatch(name)) is None:
        return [name]
    return [f"{match[1]}-{number:05}-of-{match[2]}.gguf" for number in range(1, int(match[2]) + 1)]


def _is_of_a_model(name: str) -> bool:
    inside = name.removeprefix(TEMPLATES)
    return "/" not in inside and odd_part(name) is None and not inside.startswith(".")


def _is_weights(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in WEIGHTS)


def _has(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _copy(held: Held, names: Sequence[str]) -> None:
    """Copy what is not here, while no other process of this machine does. What an earlier one has copied stays."""
    record = held.folder.with_suffix(".json")
    if not held.lacking(names) and record.is_file():
        with suppress(OSError):  # a cache that others may only read serves them all the same
            os.utime(record)  # the content that was looked up last
        return
    with _alone(held):
        lacking = held.lacking(names)
        held.refuse_full_disk(lacking)
        if any(map(_is_weights, lacking)):
            size = show_size(held.size_bytes(lacking))
            files = "1 file" if len(lacking) == 1 else f"{len(lacking)} files"
            _say(f"{held.spec}: copying {files}, {size}, to {held.folder}")
        write_json(record, {"address": held.spec, "files": dict(held.files)})
        os.utime(record)  # an equal record is left as it is
        store, stopped = Store(_address(held.spec)), Event()
        for_each(lacking, lambda name: _download(held, store, name, stopped), stop=stopped.set)


def _say(line: str) -> None:
    print(printable(f"crushtest: {line}"), file=sys.stderr)


def _download(held: Held, store: Store, name: str, stopped: Event) -> None:
    """Copy a file; it gets its name only if its object is still the one that was listed, and all of it has come."""

    def received(_: int) -> None:
        if stopped.is_set():
            raise InterruptedError("another file could not be copied")

    with replacing(held.folder / name) as temporary:
        there = store.download(name, temporary, received=received)
        same = there and _look(held.spec).files.get(name) == held.files[name]  # a store may mark an object asked for by
        if not same or not _has(temporary, held.files[name].size_bytes):  # itself in another way than in a list
            raise ModelError(f"model {held.spec!r}: {name} changed at the address while it was copied; try again")


@contextmanager
def _alone(held: Held) -> Iterator[None]:
    """Wait until no other process of this machine copies from the same address, and keep others out."""
    place = held.folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / ".lock").open("a")
    except OSError as error:
        raise ModelError(
            f"models at addresses are copied to {place}, which cannot be written ({error.strerror}); CRUSHTEST_CACHE "
            "names another cache"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{held.spec}: waiting for another process of this machine that copies it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        remove_partial(place)
        yield
