"""Find a file of a data set in a mirror or in the cache, or fetch it from its authors, and check it.

The package carries no data. `find` looks in the folder that CRUSHTEST_DATA names (a mirror), then in the cache, and at
last fetches the file from its address. It compares the checksum wherever it finds the file.
"""

from __future__ import annotations

import gzip
import os
import time
from hashlib import sha1, sha256
from pathlib import Path
from typing import IO, Literal, NamedTuple

from crushtest.data.catalogue import MIRROR, SourceFile, data_set
from crushtest.errors import DataError
from crushtest.files.atomic import replacing
from crushtest.files.cache import cache_folder

TIMEOUT_S = 30
SLOWEST = 2_000
"""Bytes per second below which a server drips."""
MOST_BYTES = 2**34
CHUNK = 2**16


class NotHere(DataError):
    """A file that is missing and cannot be fetched."""


class LocalFile(NamedTuple):
    """A file on this machine, and whether the mirror or the cache holds it."""

    path: Path
    place: Literal["mirror", "cache"]


def find(name: str, file: str, *, fetch: bool = True) -> LocalFile:
    """Return a file of a data set and check it. Fetch it into the cache if neither a mirror nor the cache has it.

    `fetch=False` leaves the network alone.

    Raises DataError that names the file if its content has changed. Raises NotHere, which also names the address and
    the variable for a mirror, if the file cannot be fetched.
    """
    source = data_set(name).files[file]
    local = first_place(source)
    if local is not None:
        check_content(local.path, source)
        return local
    if not fetch:
        raise NotHere(f"data file {source.path!r} is missing; fetch it (crushtest data fetch {name}) or {advice()}")
    return LocalFile(download(source), "cache")


def read_text(name: str, file: str) -> str:
    """Return the whole text of a file of a data set as UTF-8, decompressed and without a byte order mark."""
    path = find(name, file).path
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8-sig")


def first_place(source: SourceFile) -> LocalFile | None:
    """Return the first place that holds a file. The content is not checked."""
    folder = mirror()
    mirrored = [] if folder is None else [folder / source.path, folder / f"{source.path}.gz"]
    places = [*(LocalFile(path, "mirror") for path in mirrored), LocalFile(_cached(source), "cache")]
    return next((place for place in places if place.path.is_file()), None)


def folder_of(name: str) -> Path | None:
    """Return the folder of a manual download in the mirror or the cache. Its content is not checked.

    A folder that holds only a README or a licence does not count.
    """
    folder = mirror()
    places = [*([folder / name] if folder else []), cache_folder() / "data" / name]
    for place in places:
        if place.is_dir() and any(not entry.name.startswith(("README", "LICENSE")) for entry in place.iterdir()):
            return place
    return None


def mirror() -> Path | None:
    """Return the folder that CRUSHTEST_DATA names. Raises DataError if that is not a folder."""
    named = os.environ.get(MIRROR)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{MIRROR} must name a folder (got {named!r})")
    return folder


def advice(what: str = "it") -> str:
    """Say what a user can do about missing files."""
    named = os.environ.get(MIRROR)
    return f"set {MIRROR} to a folder that holds {what}" + (f" ({named!r} does not)" if named else "")


def download(source: SourceFile) -> Path:
    """Fetch a whole file into the cache and check it. Raises NotHere, and DataError as `find` does."""
    from http.client import HTTPException
    from urllib.request import urlopen

    target = _cached(source)
    try:
        with replacing(target) as temporary:
            with urlopen(source.address, timeout=TIMEOUT_S) as response:
                _copy(response, temporary)
            check_content(temporary, source, origin=source.address)
    except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
        reason = getattr(error, "reason", None) or error
        raise NotHere(
            f"data file {source.path!r} is missing and could not be fetched from {source.address} "
            f"({reason}); {advice()}"
        ) from error
    return target


def _copy(response: IO[bytes], target: Path) -> None:
    """Write what a server sends. Raises TimeoutError if it drips, OSError if it does not end."""
    began, received = time.monotonic(), 0
    with target.open("wb") as file:
        while chunk := response.read1(CHUNK):  # type: ignore[attr-defined]
            received += file.write(chunk)
            if received > MOST_BYTES:
                raise OSError(f"it sends more than {MOST_BYTES:,} bytes")
            if time.monotonic() - began > TIMEOUT_S + received / SLOWEST:
                raise TimeoutError(f"it sent {received:,} bytes in {time.monotonic() - began:.0f} s")


def check_content(path: Path, source: SourceFile, *, origin: str | None = None) -> None:
    """Raise DataError if a file's content does not match its checksum. `origin` names the file in place of its path.

    A mirror may gzip a file that its authors publish as text. The checksum is the text's.
    """
    content = path.read_bytes()
    if path.name.endswith(f"{Path(source.path).name}.gz"):
        content = gzip.decompress(content)
    kind, _, expected = source.checksum.partition(":")
    # git's id of a file is the SHA-1 of its length and content
    digest = sha256(content) if kind == "sha256" else sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    if digest.hexdigest() != expected:
        raise DataError(
            f"data file {source.path!r} ({origin or path}) is not the file we know: "
            f"its {kind} is {digest.hexdigest()}, it must be {expected}"
        )


def _cached(source: SourceFile) -> Path:
    return cache_folder() / "data" / source.path
