"""Addresses of object storage: `s3://bucket/study`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from crushtest.errors import UsageError
from crushtest.printing import quoted

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://?(.*))?", re.DOTALL)
"""An address; as well as a Path writes it, which makes one slash of two, and of an empty address none."""
NOT_STORAGE = {
    "http": "pages are read from such addresses, and nothing is written there",
    "https": "pages are read from such addresses, and nothing is written there",
    "file": "give the folder itself, by its path",
    "local": "give the folder itself, by its path",
}


class Address(NamedTuple):
    """A folder in object storage.

    protocol  how it is reached: s3, gs, ...
    path      the bucket and the folder in it, without a slash at the end
    """

    protocol: str
    path: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path}"


def is_address(place: Path | str) -> bool:
    """Return True for `s3://bucket/study`, also where it was made a path, which has one slash there."""
    return _ADDRESS.fullmatch(str(place)) is not None


def parse_storage_address(place: Path | str) -> Address:
    """Return the parts of an address.

    Raises UsageError for one that holds a password or a query, which are not repeated, that leaves its bucket or names
    no folder in it, or that is no storage.
    """
    match = _ADDRESS.fullmatch(str(place))
    if match is None:
        raise UsageError(f"{quoted(str(place))} is no address of object storage, such as s3://bucket/study")
    protocol, path = match[1].lower(), (match[2] or "").rstrip("/")
    user, at, _ = path.partition("/")[0].rpartition("@")
    if at and re.search(":|%3a", user, re.IGNORECASE):
        raise UsageError(
            f"{protocol}: an address must hold no password; credentials are read from the environment, as the "
            "store's own tools read them (it is not shown)"
        )
    if "?" in path or "#" in path:
        raise UsageError(f"{protocol}: an address must hold no query and no fragment (it is not shown)")
    address = Address(protocol, path)
    if protocol in NOT_STORAGE:
        raise UsageError(f"{address}: {protocol}:// is no object storage; {NOT_STORAGE[protocol]}")
    if not path:
        raise UsageError(f"{address} names no bucket and no folder in it, such as {address}bucket/study")
    if (problem := odd_part(path)) is not None:
        raise UsageError(f"{quoted(str(address))}: {problem}")
    if "/" not in path:
        raise UsageError(f"{address}: name a folder in the bucket, such as {address}/study")
    return address


def odd_part(path: str) -> str | None:
    """Return what is wrong with the parts of a path below a bucket or an address; None if nothing is."""
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"a part of the path is {quoted(part)}; each must be a name"
        if "\\" in part or not part.isprintable() or any(mark in part for mark in ("*", "?", "[", "::")):
            return f"{quoted(part)} is no name here: no backslash, no *, ?, [ or ::, and nothing that cannot be printed"
    return None
