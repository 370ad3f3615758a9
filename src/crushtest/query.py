"""SQL over a study's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import duckdb
import polars as pl

from crushtest.errors import UsageError
from crushtest.store import StudyFolder


def ask(folder: StudyFolder, sql: str) -> pl.DataFrame:
    """The rows of a query over items, answers, scores, estimates and contrasts.

    `items` has a column task; `answers` has arm and task; `scores` has arm, scorer and task. Answers of different
    kinds share one view: the columns that a kind does not have are null. Raises UsageError for wrong SQL.
    """
    with duckdb.connect(":memory:") as connection:
        for name, select in _views(folder):
            connection.execute(f"CREATE VIEW {name} AS {select}")
        try:
            return connection.execute(sql).pl()
        except duckdb.Error as error:
            raise UsageError(f"query: {str(error).partition(chr(10))[0]}") from None


def _views(folder: StudyFolder) -> Iterator[tuple[str, str]]:
    root = folder.root
    tables: dict[str, list[tuple[Path, dict[str, str]]]] = {
        "items": [(path, {"task": _name(path)}) for path in sorted(root.glob("items/*.parquet"))],
        "answers": [
            (path, {"arm": unquote(path.parts[-3]), "task": _name(path)})
            for path in sorted(root.glob("arms/*/answers/*.parquet"))
        ],
        "scores": [
            (path, {"arm": unquote(path.parts[-4]), "scorer": unquote(path.parts[-2]), "task": _name(path)})
            for path in sorted(root.glob("arms/*/scores/*/*.parquet"))
        ],
        "estimates": [(folder.estimates, {})] if folder.estimates.exists() else [],
        "contrasts": [(folder.contrasts, {})] if folder.contrasts.exists() else [],
    }
    for name, parts in tables.items():
        if parts:
            yield name, " UNION ALL BY NAME ".join(_select(path, constants) for path, constants in parts)


def _select(path: Path, constants: dict[str, str]) -> str:
    columns = "".join(f"{_quoted(value)} AS {key}, " for key, value in constants.items())
    return f"SELECT {columns}* FROM read_parquet({_quoted(str(path))})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(path: Path) -> str:
    return unquote(path.stem)
