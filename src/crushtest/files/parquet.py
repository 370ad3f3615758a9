"""Read and write a study's tables: each says what it is and what it was made from, and is checked when it is read."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.errors import StoreError
from crushtest.files.atomic import replacing
from crushtest.files.regular import read_bytes, sha256
from crushtest.files.sealed import BLANK, CHANGED, SEAL, is_sealed, is_whole, sealed

if TYPE_CHECKING:
    import polars as pl

ASK_AGAIN = "remove it and its items are asked again"
DRAW_AGAIN = "remove it and run the study again"
SCORE_AGAIN = "remove it and run the study again, which scores anew"
RESTORE = "restore it, or run the study again"

KEY = "crushtest"
"""The entry of a file's Parquet metadata that holds its label and seal, as JSON."""

FORMAT = 1
"""Version of labels, in every label."""


@dataclass(frozen=True)
class TableKind:
    """What every file of a kind must hold.

    newer    columns that files of older versions lack; they are read as empty
    filled   columns in which no value may be missing
    """

    name: str
    schema: pl.Schema
    newer: frozenset[str] = frozenset()
    filled: tuple[str, ...] = ("item",)

    @cached_property
    def fits(self) -> dict[str, Callable[[Any], bool]]:
        """Per column what says whether a value other than None may stand in it."""
        return {name: _fits(dtype) for name, dtype in self.schema.items()}


@dataclass(frozen=True)
class Label:
    """What a file says of itself.

    facts     what it is: kind, arm, task, ...
    sources   the files that it was made from, as paths relative to the study, each with the sha256 of all its bytes
    """

    facts: Mapping[str, str | int] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A file that was read and checked. `label` None: an older version wrote it, which did not say what it was."""

    path: Path
    frame: pl.DataFrame
    label: Label | None


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], kind: TableKind, label: Label) -> None:
    """Write a table atomically, with its label and seal; the same rows and label give the same bytes."""
    import polars as pl

    write_frame(path, pl.DataFrame(list(rows), schema=kind.schema), label)


def write_frame(path: Path, frame: pl.DataFrame, label: Label) -> None:
    """Write a table that has the columns of its kind, as `write_table` does."""
    content = io.BytesIO()  # whose bytes reach the disk in one place, where a full disk is an OSError
    metadata = {KEY: json.dumps({"format": FORMAT, **label.facts, "made_from": dict(label.sources), SEAL: BLANK})}
    frame.write_parquet(content, metadata=metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(sealed(content.getvalue()))


def read_table(
    path: Path,
    kind: TableKind,
    *,
    remedy: str,
    facts: Mapping[str, str | int] | None = None,
    also: Collection[str] = (),
) -> Table:
    """Read a table and check all that can be checked in the file alone: its seal, what it is, columns and numbers.

    Raises StoreError that names the file, what is wrong with it, and `remedy`. `facts` are what its label must say,
    `also` names those that it may hold besides.
    """
    content = read_bytes(path, remedy=remedy)
    if is_sealed(content) and not is_whole(content):
        raise StoreError(f"{path} cannot be used ({CHANGED}); {remedy}")
    frame = _parsed(path, content, remedy)
    label = _label(content) if is_sealed(content) else None
    required = {name: fact for name, fact in (label.facts if label else {}).items() if name not in also}
    if label is not None and facts is not None and required != {"format": FORMAT, **facts}:
        raise StoreError(f"{path} {_another(label.facts, facts)}; restore the file that belongs here, or {remedy}")
    problem = _columns_problem(frame, kind)
    if problem:
        raise StoreError(f"{path} is no table of {kind.name} of this version of crushtest ({problem}); {remedy}")
    import polars as pl

    lacking = [pl.lit(None, kind.schema[name]).alias(name) for name in kind.schema if name not in frame.columns]
    frame = frame.with_columns(lacking).select(list(kind.schema))
    problem = _values_problem(frame, kind)
    if problem:
        raise StoreError(f"{path} cannot be used ({problem}); {remedy}")
    return Table(path, frame, label)


def _parsed(path: Path, content: bytes, remedy: str) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(io.BytesIO(content))
    except (Exception, pl.exceptions.PanicException) as error:  # whatever damaged bytes make of the parser
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise StoreError(f"{path} cannot be read ({first[:200]}); {remedy}") from None


def _label(content: bytes) -> Label:
    import polars as pl

    said = json.loads(pl.read_parquet_metadata(io.BytesIO(content))[KEY])
    sources = said.pop("made_from")
    del said[SEAL]
    return Label(said, sources)


def _another(label: Mapping[str, str | int], facts: Mapping[str, str | int]) -> str:
    """Say which of a label's facts is not as it should be."""
    more = [name for name in label if name not in facts and name != "format"] if label.get("format") == FORMAT else []
    wrong = next((name for name in facts if label.get(name) != facts[name]), next(iter(more), "format"))
    if wrong == "format":
        return f"was written by another version of crushtest (format {label.get('format')})"
    return f"is of another {wrong} ({label.get(wrong)!r}) than its place says ({facts.get(wrong, 0)!r})"


def _columns_problem(frame: pl.DataFrame, kind: TableKind) -> str:
    if unknown := [name for name in frame.columns if name not in kind.schema]:
        return f"unknown column {unknown[0]!r}"
    if missing := [name for name in kind.schema if name not in frame.columns and name not in kind.newer]:
        return f"it lacks column {missing[0]!r}"
    for name, dtype in frame.schema.items():
        if dtype != kind.schema[name]:
            return f"column {name!r} holds {dtype}, not {kind.schema[name]}"
    return ""


def _values_problem(frame: pl.DataFrame, kind: TableKind) -> str:
    """Return which column holds what none of its kind may hold: NaN, infinity, no value; empty if none does."""
    import polars as pl

    for name in kind.filled:
        if frame[name].null_count():
            return f"column {name!r} lacks {frame[name].null_count()} values"
    for name, dtype in frame.schema.items():
        inner = dtype.inner if isinstance(dtype, pl.List) else dtype
        if inner in (pl.Float32, pl.Float64):
            values = frame[name].explode() if isinstance(dtype, pl.List) else frame[name]
            if not values.is_finite().all():
                return f"column {name!r} holds NaN or infinity"
    return ""


# ---- links -------------------------------------------------------------------------------------------


def digests(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of files, by their path relative to the study, for a label."""
    return {path.relative_to(root).as_posix(): sha256(read_bytes(path, remedy=RESTORE)) for path in sorted(set(paths))}


def check_sources(root: Path, table: Table, *, remedy: str) -> None:
    """Raise StoreError, with both names and `remedy`, unless a table was made from the files that the study holds now.

    A table of an older version names no sources.
    """
    for name, digest in (table.label.sources if table.label else {}).items():
        source = root / name
        content = read_bytes(source, remedy=f"{table.path} was made from it; {RESTORE}")
        if sha256(content) != digest:
            raise StoreError(
                f"{source} is not the file that {table.path} was made from; restore the one that was, or {remedy}"
            )


def row_problem(row: Mapping[str, Any], kind: TableKind) -> str | None:
    """Return which value of a row cannot stand in its column; None if all can."""
    for name, fits in kind.fits.items():
        if (value := row.get(name)) is not None and not fits(value):
            return f"{name} is no {kind.schema[name]}"
    return None


def _fits(dtype: Any) -> Callable[[Any], bool]:
    """Return what says whether a value of a line, if it is not None, may stand in a column."""
    match str(dtype.base_type()):
        case "List":
            inner = _fits(dtype.inner)
            return lambda value: isinstance(value, (list, tuple)) and all(each is None or inner(each) for each in value)
        case "String":
            return _is_text
        case "Boolean":
            return lambda value: isinstance(value, bool)
        case "Int64":
            return lambda value: _is_number(value, int) and -(2**63) <= value < 2**63
        case _:
            return lambda value: _is_number(value, (int, float)) and abs(value) <= sys.float_info.max


def _is_number(value: Any, types: Any) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    """Return whether a value is a text that UTF-8 can hold: no half of a character."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
