"""Read JSON lines: one object per line, in a file (gzipped or not) or in a string."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crushtest.errors import DataError


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file. Raises DataError if it is not UTF-8 or not gzip, and as `parse_lines` does."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from None
    yield from parse_lines(text, str(path))


def parse_lines(text: str, file: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines, skipping empty lines.

    Raises DataError, naming the line, if it is not an object or escapes half a character, which UTF-8 cannot hold.
    """
    # Not splitlines(), which also splits at characters that JSON strings may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: must be an object (got {type(row).__name__})")
        if r"\ud" in line.lower() and not _is_unicode(row):
            raise DataError(f"{file}, line {number}: holds half a character (a lone surrogate)")
        yield row


def _is_unicode(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
