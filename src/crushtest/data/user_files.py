"""Read a user's files: rows of JSON lines (plain or gzipped) or of Parquet, and plain text."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crushtest.data.catalogue import how_to_get
from crushtest.data.sources import NotHere, folder_of
from crushtest.errors import DataError
from crushtest.files.json_lines import read_lines

LINES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def require(path: str | None, *, task: str, because: str) -> Path:
    """Return the file or folder that a user named.

    Raises NotHere if the user named none (`because` says how to get it). Raises DataError if it does not exist.
    """
    if path is None:
        raise NotHere(f"task {task!r} {because}")
    named = Path(path).expanduser()
    if not named.exists():
        raise DataError(f"task {task!r}: no such file or folder {path!r}")
    return named


def require_set(path: str | None, name: str, *, task: str) -> Path:
    """Return the file or folder that a user named, or else the folder of a manual download in the mirror or cache.

    Raises NotHere and DataError as `require` does.
    """
    folder = folder_of(name) if path is None else None
    return folder or require(path, task=task, because=how_to_get(name))


def first_present(folder: Path, names: Sequence[str], *, task: str) -> Path:
    """Return the first of these files that a folder holds. Raises DataError, which lists them, if it holds none."""
    present = next((folder / name for name in names if (folder / name).is_file()), None)
    if present is None:
        raise DataError(f"task {task!r}: {folder} holds none of {', '.join(names)}")
    return present


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return all rows of a JSON lines or Parquet file. Raises DataError if there are none, and as `read_lines` does."""
    if path.suffix == ".parquet":
        rows = _parquet(path)
    elif path.name.endswith(LINES):
        rows = list(read_lines(path))
    else:
        raise DataError(f"{path}: not a kind of file that can be read (allowed: {', '.join(LINES)}, .parquet)")
    if not rows:
        raise DataError(f"{path}: no row in it")
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: {error}") from None


def field(row: dict[str, Any], name: str, *, where: str) -> Any:
    """Return the value of a field. Raises DataError, which lists the row's fields, if it is missing."""
    if name not in row:
        raise DataError(f"{where}: no field {name!r} (there are: {', '.join(map(str, row))})")
    return row[name]


def text_field(row: dict[str, Any], name: str, *, where: str) -> str:
    """Return the value of a field that must hold a text to score. Raises DataError as `field` and `text_of` do."""
    return text_of(field(row, name, where=where), name, where=where)


def text_of(value: Any, name: str, *, where: str) -> str:
    """Return the value. Raises DataError unless it is a string that is not blank."""
    if not isinstance(value, str):
        raise DataError(f"{where}: {name} must be a text (got {reprlib.repr(value)})")
    if not value.strip():
        raise DataError(f"{where}: {name} is blank (got {reprlib.repr(value)})")
    return value


def value_field(row: dict[str, Any], name: str, *, where: str) -> str | None:
    """Return the value of a field that groups rows, or None if it is null or blank.

    Raises DataError as `field` does, and for a value that is a list or a record.
    """
    value = field(row, name, where=where)
    if isinstance(value, list | dict):
        raise DataError(f"{where}: {name} must be a single value (got {value!r})")
    return None if value is None or not str(value).strip() else str(value)


def cluster_field(row: dict[str, Any], name: str, *, number: int, where: str) -> str:
    """Return the cluster of the row of this number, counted from 0. A row without one is its own cluster.

    Raises DataError as `value_field` does.
    """
    # the number alone may be another row's cluster
    return value_field(row, name, where=where) or f"row {number + 1}, without {name}"


def read_plain(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark and with line feeds as line ends.

    Raises DataError if the file is blank or is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} is not a UTF-8 text file: {error}") from None
    if not text.strip():
        raise DataError(f"{path}: no text in it")
    return text
