"""Seals: a file that holds the digest of its own bytes shows by itself that nothing in it has changed.

The digest is computed with zeros in its own place. So it needs no second file that a kill could leave behind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from crushtest.errors import StoreError
from crushtest.files.atomic import replacing
from crushtest.files.regular import read_text, sha256

BLANK = "0" * 64
SEAL = "sha256_with_zeros_here"
_PLACE = re.compile(rf'{SEAL}"?: "?([0-9a-f]{{64}})'.encode())
CHANGED = "it is damaged, or was changed after it was written: its digest does not fit"


def sealed(content: bytes) -> bytes:
    """Return the content with its digest in the place of the zeros after the last SEAL."""
    start, end = _place(content) or (0, 0)
    if content[start:end] != BLANK.encode():
        raise AssertionError("nothing to seal: the content has no blank seal")
    return content[:start] + sha256(content).encode() + content[end:]


def is_sealed(content: bytes) -> bool:
    """Return whether a file's content has a seal. One that has none was written by an older version, or elsewhere."""
    return SEAL.encode() in content


def is_whole(content: bytes) -> bool:
    """Return whether a sealed file's bytes are those that were sealed."""
    place = _place(content)
    if place is None:
        return False
    start, end = place
    return sha256(content[:start] + BLANK.encode() + content[end:]) == content[start:end].decode()


def _place(content: bytes) -> tuple[int, int] | None:
    match = _PLACE.match(content, max(content.rfind(SEAL.encode()), 0))
    return match.span(1) if match else None


# ---- JSON -------------------------------------------------------------------------------------------


def write_sealed_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object atomically, with its seal."""
    text = json.dumps({**value, SEAL: BLANK}, indent=2, ensure_ascii=False) + "\n"
    content = sealed(text.encode("utf-8"))
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_sealed_json(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the object in a JSON file, without its seal. An older file without a seal is read as it is.

    Raises StoreError, with `remedy`, for anything but an object of finite numbers, and for a seal that does not fit.
    """
    text = read_text(path, remedy=remedy)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({' '.join(str(error).split())}); {remedy}") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path} cannot be read (not an object); {remedy}")
    if value.pop(SEAL, None) is not None and not is_whole(text.encode("utf-8")):
        raise StoreError(f"{path} cannot be used ({CHANGED}); {remedy}")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")
