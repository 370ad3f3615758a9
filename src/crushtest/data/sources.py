"""Find a file of a data set, checked: in a mirror, in the cache, or at the address where its authors keep it.

The package carries no data. A file is looked for in the folder named by CRUSHTEST_DATA (a mirror), then in the cache,
and last fetched from its address. Its checksum is taken wherever it is found.
"""

from __future__ import annotations

import gzip
import os
from hashlib import sha1, sha256
from pathlib import Path
from typing import Literal, NamedTuple

from crushtest.data.catalogue import MIRROR, SourceFile, data_set
from crushtest.errors import DataError
from crushtest.files.atomic import replacing
from crushtest.files.cache import cache_folder

TIMEOUT_S = 30


class NotHere(DataError):
    """A file that is missing and cannot be fetched."""


class Found(NamedTuple):
    """A file that is here, and the place it is in."""

    path: Path
    place: Literal["mirror", "cache"]


def find(name: str, file: str, *, fetch: bool = True) -> Found:
    """Return a file of a data set, checked; fetch it into the cache if it is nowhere else.

    Raises DataError, which names the file, if it has changed; NotHere, which also names the address and the variable
    for a mirror, if it cannot be fetched. With `fetch=False` the network is left alone.
    """
    source = data_set(name).files[file]
    here = first_place(source)
    if here is not None:
        check_content(here.path, source)
        return here
    if not fetch:
        raise NotHere(f"data file {source.path!r} is missing; fetch it (crushtest data fetch {name}) or {advice()}")
    return Found(download(source), "cache")


def read_text(name: str, file: str) -> str:
    """Return the whole text of a file of a data set (UTF-8; a byte order mark is dropped, gzip is undone)."""
    path = find(name, file).path
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8-sig")


def first_place(source: SourceFile) -> Found | None:
    """Return the first of a file's places that holds it; its content is not checked."""
    folder = mirror()
    mirrored = [] if folder is None else [folder / source.path, folder / f"{source.path}.gz"]
    places = [*(Found(path, "mirror") for path in mirrored), Found(_cached(source), "cache")]
    return next((place for place in places if place.path.is_file()), None)


def folder_of(name: str) -> Path | None:
    """Return the folder of a manual download in the mirror or the cache; its content is not checked.

    A folder that holds only a README or a licence does not count.
    """
    folder = mirror()
    places = [*([folder / name] if folder else []), cache_folder() / "data" / name]
    return next((place for place in places if place.is_dir() and _holds_data(place)), None)


def _holds_data(folder: Path) -> bool:
    return any(not entry.name.startswith(("README", "LICENSE")) for entry in folder.iterdir())


def mirror() -> Path | None:
    """Return the folder that CRUSHTEST_DATA names. Raises DataError if it names something else."""
    named = os.environ.get(MIRROR)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{MIRROR} must name a folder (got {named!r})")
    return folder


def advice(what: str = "it") -> str:
    """Return what to do about missing files."""
    named = os.environ.get(MIRROR)
    return f"set {MIRROR} to a folder that holds {what}" + (f" ({named!r} does not)" if named else "")


def download(source: SourceFile) -> Path:
    """Fetch a file into the cache, whole or not at all, and check it. Raises NotHere, and DataError as `find` does."""
    from http.client import HTTPException
    from urllib.request import urlopen

    target = _cached(source)
    try:
        with replacing(target) as temporary:
            with urlopen(source.address, timeout=TIMEOUT_S) as response:
                temporary.write_bytes(response.read())
            check_content(temporary, source, origin=source.address)
    except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
        reason = getattr(error, "reason", None) or error
        raise NotHere(
            f"data file {source.path!r} is missing and could not be fetched from {source.address} "
            f"({reason}); {advice()}"
        ) from error
    return target


def check_content(path: Path, source: SourceFile, *, origin: str | None = None) -> None:
    """Raise DataError if a file's content does not have its checksum; `origin` names it in place of the path.

    A mirror may gzip a file that its authors do not: the checksum is that of the text.
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
