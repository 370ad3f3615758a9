"""Rows of files: JSON lines, plain or gzipped, or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crushtest.errors import DataError
from crushtest.jsonlines import read_lines
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
    return list(read_lines(path))


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
