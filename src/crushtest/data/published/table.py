"""published.parquet: one row per published number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from crushtest.data.published.point import Point
from crushtest.files.parquet import Label, TableKind, read_table, write_table

FILE = "published.parquet"
FETCH_AGAIN = "remove it and fetch it again (`crushtest published fetch`)"


@cache
def kind() -> TableKind:
    """Return the schema of the table."""
    import polars as pl

    texts = ("source", "model", "arm", "task", "metric", "group", "unit", "better")
    others: dict[str, pl.DataType] = {
        "value": pl.Float64(),
        "compression_ratio": pl.Float64(),
        "line": pl.Int64(),
        "comparable": pl.Boolean(),
        "flags": pl.List(pl.String()),
    }
    schema = {name: others.get(name, pl.String()) for name in Point.__dataclass_fields__}
    return TableKind("published", pl.Schema(schema), filled=texts)


def write(points: Iterable[Point], folder: Path) -> Path:
    """Write the table into a folder and return its path; the same points give the same bytes."""
    path = folder / FILE
    rows = [vars(point) | {"flags": list(point.flags)} for point in points]
    write_table(path, rows, kind(), Label({"kind": kind().name}))
    return path


def read(path: Path) -> list[Point]:
    """Read the table of a file, or of a folder that holds it. Raises StoreError if it is none or was changed."""
    file = path / FILE if path.is_dir() else path
    frame = read_table(file, kind(), remedy=FETCH_AGAIN, facts={"kind": kind().name}).frame
    return [Point(**row | {"flags": tuple(row["flags"])}) for row in frame.iter_rows(named=True)]


def cells_per_flag(points: Sequence[Point]) -> dict[str, int]:
    """Return how many numbers every rule marked, the most first."""
    return dict(Counter(flag for point in points for flag in point.flags).most_common())
