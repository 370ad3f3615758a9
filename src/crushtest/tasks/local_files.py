"""Rows of files: JSON lines, plain or gzipped, or Parquet."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crushtest.errors import DataError
from crushtest.tasks.sources import NotHere, folder_of, how_to_get

LINES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def require(path: str | None, *, task: str, because: str) -> Path:
    """The file or folder that a user named.

    Raises NotHere where none is named (`because` says how to get it), DataError where what is named is not there.
    """
    if path is None:
        raise NotHere(f"task {task!r} {because}")
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"task {task!r}: no such file or folder {path!r}")
    return found


def require_set(path: str | None, name: str, *, task: str) -> Path:
    """The file or folder that a user named, or the folder of a data set that is to be had by hand, where it is here."""
    found = folder_of(name) if path is None else None
    return found or require(path, task=task, because=how_to_get(name))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSON lines or Parquet file. Raises DataError, naming the line, where a row is not an object."""
    if path.suffix == ".parquet":
        return _parquet(path)
    if not path.name.endswith(LINES):
        raise DataError(f"{path}: not a kind of file that can be read (allowed: {', '.join(LINES)}, .parquet)")
    return list(_json_lines(path))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from None
    yield from parse_lines(text, str(path))


def parse_lines(text: str, file: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines. Raises DataError, naming the line, for one that is no object."""
    # Not splitlines: it also cuts at characters that JSON strings may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: must be an object (got {type(row).__name__})")
        yield row


def _parquet(path: Path) -> list[dict[str, Any]]:
    import polars as pl

    try:
        return pl.read_parquet(path).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: {error}") from None


def field(row: dict[str, Any], name: str, *, where: str) -> Any:
    """The value of a field that must be there; DataError says which fields there are."""
    if name not in row:
        raise DataError(f"{where}: no field {name!r} (there are: {', '.join(map(str, row))})")
    return row[name]
