"""Read a study's tables, and report a damaged one in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.errors import StoreError

if TYPE_CHECKING:
    import polars as pl

ASK_AGAIN = "remove it and its items are asked again"
DRAW_AGAIN = "remove it and run the study again"


def read_table(
    path: Path, *, remedy: str, columns: Sequence[str] | None = None, rows: int | None = None
) -> pl.DataFrame:
    """Read a Parquet file: all of it, or these columns and the first `rows`.

    Raises StoreError that names the file, what is wrong with it, and `remedy`.
    """
    import polars as pl

    try:
        return pl.read_parquet(path, columns=list(columns) if columns else None, n_rows=rows)
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{path} cannot be read ({str(error).splitlines()[0]}); {remedy}") from None
