"""Query a study's tables with SQL."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import duckdb
import polars as pl

from crushtest.errors import UsageError
from crushtest.printing import quoted, unwritable
from crushtest.records import DENSE
from crushtest.study import manifest
from crushtest.study.chain import table_checks
from crushtest.study.folder import StudyFolder
from crushtest.study.hidden_harm import hidden_harms
from crushtest.study.plan import stored_plan

HIDDEN = "hidden_harm"
"""The table of verdicts on arms, which is made when a query names it."""


class Rows(NamedTuple):
    """The result of a query: column names, and a tuple per row."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each row as column -> value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def ask(folder: StudyFolder, sql: str) -> Rows:
    """Run a query over items, answers, scores, estimates, contrasts and, if an arm was repeated, noise.

    `hidden_harm` has the verdict on every arm, and `rankings` what the manifest of a study of eight arms holds.

    `items` has a column task; `answers` has arm and task; `scores` has arm, scorer and task. Answers of different
    kinds share one view: columns that a kind lacks are null, and `tokens` and `bytes` are always lists (of one number
    for passages and completions).

    The query must be one SELECT. It can read the study's tables but no other file, and writes none. Raises UsageError
    for anything else and for wrong SQL, StoreError if a table is damaged or does not belong to the others.
    """
    if unwritable(sql):
        raise UsageError(f"query: the SQL holds a NUL or half a character (got {quoted(sql)})")
    for check in table_checks(folder):
        check()
    with duckdb.connect(":memory:") as connection, _plainly_named(folder.root) as root:
        try:
            for name, selects in _views(StudyFolder(root)).items():
                if selects:
                    connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(selects)}")
            if HIDDEN in sql.lower():
                _add_hidden_harm(connection, folder)
            if manifest.RANKINGS in sql.lower():
                _add_rankings(connection, folder)
            _read_only(connection, root)
            result = connection.execute(_one_select(connection, sql))
            columns = [column[0] for column in result.description or ()]
            return Rows(columns, result.fetchall())
        except duckdb.CatalogException as error:
            raise UsageError(f"query: {_reason(error)}{_not_yet(folder, str(error))}") from None
        except duckdb.Error as error:
            raise UsageError(f"query: {_reason(error)}") from None


@contextmanager
def _plainly_named(root: Path) -> Iterator[Path]:
    """Yield a path to the study without `*`, `?` and `[`, which SQL would take for a pattern of files."""
    with tempfile.TemporaryDirectory(prefix="crushtest-") as folder:
        link = Path(folder) / "study"
        link.symlink_to(root.absolute(), target_is_directory=True)
        yield link


def _reason(error: duckdb.Error) -> str:
    return " ".join(str(error).partition("LINE 1")[0].split())


def _not_yet(folder: StudyFolder, complaint: str) -> str:
    """Return what the study would have to do for a table that it may have but has not; else the empty text."""
    [name] = re.findall(r"Table with name (\w+) does not exist", complaint) or [""]
    if name not in _views(folder):
        return ""
    if name == "noise":
        return " (the study has no noise yet)"
    compares = f"`crushtest compare {folder.root}` compares what is answered"
    return f" (the study has no {name} yet: `crushtest run` finishes it, {compares})"


def _one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Return the only statement of a query. COPY or EXPLAIN ANALYZE COPY could overwrite the study."""
    statements = connection.extract_statements(sql)
    if not statements:
        raise UsageError('query: the SQL is empty (try "SELECT * FROM estimates")')
    if len(statements) > 1:
        raise UsageError(f"query: give one statement at a time (got {len(statements)})")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise UsageError(f"query: only SELECT (or WITH ... SELECT) is allowed, which changes nothing (got {kind})")
    return statements[0]


def _add_hidden_harm(connection: duckdb.DuckDBPyConnection, folder: StudyFolder) -> None:
    """Add what is shown of hidden harm, which no file holds: a row per arm and arm that it is compared with."""
    if not folder.contrasts.exists():
        return
    plan, contrasts = stored_plan(folder.specification), folder.read_contrasts()
    names = [arm.name for arm in plan.arms]
    connection.execute(
        f"CREATE TABLE {HIDDEN} (arm VARCHAR, against VARCHAR, verdict VARCHAR, reason VARCHAR, harms VARCHAR[], "
        "quality VARCHAR[], quality_shown VARCHAR[])"
    )
    for against in names:
        for found in hidden_harms(plan.tasks, names, contrasts, against=against):
            harms = [f"{row.task} {row.metric} {row.group}" for row in found.harms]
            quality, shown = ([f"{q.task} {q.metric}" for q in listed] for listed in (found.quality, found.shown))
            values = (found.arm, found.against, found.verdict, found.reason, harms, quality, shown)
            connection.execute(f"INSERT INTO {HIDDEN} VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _add_rankings(connection: duckdb.DuckDBPyConnection, folder: StudyFolder) -> None:
    """Add how well language modelling ranks the arms, which the manifest holds for studies of enough arms."""
    columns = {"by_task": "VARCHAR", "by_metric": "VARCHAR", "task": "VARCHAR", "metric": "VARCHAR", "arms": "BIGINT"}
    columns |= {"correlation": "DOUBLE", "low": "DOUBLE", "high": "DOUBLE", "reason": "VARCHAR"}
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE {manifest.RANKINGS} ({listed})")
    for entry in manifest.read(folder.manifest).get(manifest.RANKINGS, {}).values():
        places = ", ".join("?" * len(columns))
        connection.execute(f"INSERT INTO {manifest.RANKINGS} VALUES ({places})", [entry[name] for name in columns])


def _read_only(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Restrict the query to the study's tables: no other file, extension or address."""
    tables = ", ".join(_quoted(str(path)) for path in sorted(root.rglob("*.parquet")))
    connection.execute(f"SET allowed_paths = [{tables}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _views(folder: StudyFolder) -> dict[str, list[str]]:
    """Return table -> the SELECTs that it joins; none for what the study does not have yet."""
    root = folder.root
    return {
        "items": [_select(path, task=_name(path)) for path in sorted(root.glob("items/*.parquet"))],
        "answers": [
            _select(path, arm=unquote(path.parts[-3]), task=_name(path), lists=_number_columns(path))
            for path in sorted(root.glob("arms/*/answers/*.parquet"))
        ],
        "scores": [
            _select(path, arm=unquote(path.parts[-4]), scorer=unquote(path.parts[-2]), task=_name(path))
            for path in sorted(root.glob("arms/*/scores/*/*.parquet"))
        ],
        "estimates": [_select(folder.estimates)] if folder.estimates.exists() else [],
        "contrasts": [_with_dense(folder, folder.contrasts, "against")] if folder.contrasts.exists() else [],
        "noise": [_with_dense(folder, folder.noise, "arm")] if folder.noise.exists() else [],
    }


def _with_dense(folder: StudyFolder, path: Path, column: str) -> str:
    """Return a SELECT of a table of results; `column`, which names an arm, is dense in a table older than it."""
    return (
        _select(path) if column in _schema(path) else f"SELECT {_quoted(DENSE)} AS {column}, * FROM ({_select(path)})"
    )


def _select(path: Path, *, lists: tuple[str, ...] = (), **constants: str) -> str:
    """Return a SELECT of a file's columns after constant ones, with the columns in `lists` wrapped in lists."""
    columns = "".join(f"{_quoted(value)} AS {key}, " for key, value in constants.items())
    replaced = ", ".join(f"[{column}] AS {column}" for column in lists)
    star = f"* REPLACE ({replaced})" if lists else "*"
    return f"SELECT {columns}{star} FROM read_parquet({_quoted(str(path))})"


def _number_columns(path: Path) -> tuple[str, ...]:
    """Return those of a file's columns `tokens` and `bytes` that hold one number per item."""
    return tuple(name for name in ("tokens", "bytes") if _schema(path).get(name) == pl.Int64)


def _schema(path: Path) -> dict[str, pl.DataType]:
    return dict(pl.read_parquet_schema(io.BytesIO(path.read_bytes())))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(path: Path) -> str:
    return unquote(path.stem)
