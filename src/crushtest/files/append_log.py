"""Append records one by one; each is safe once it is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from crushtest.errors import StoreError
from crushtest.files.atomic import write_parquet
from crushtest.files.parquet import ASK_AGAIN, read_table

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def remove_superseded(folder: Path) -> None:
    """Remove logs whose final file exists: a process was killed before it could. Only while nobody else is writing."""
    for running in folder.rglob("*.jsonl"):
        if running.with_suffix(".parquet").exists():
            running.unlink()


class AppendLog(Generic[Record]):
    """Records by item: one JSON line each while they arrive, one Parquet file once all are there.

    A line is written with a single call and is safe from then on, even if the process is killed. A kill during that
    call leaves a torn last line, which is not read and is cut off before the next line is written.
    """

    def __init__(self, final: Path, schema: pl.Schema, build: Callable[..., Record]) -> None:
        self.final = final
        self.running = final.with_suffix(".jsonl")
        self._schema = schema
        self._build = build
        self._file: int | None = None

    @property
    def complete(self) -> bool:
        """True if the final file exists."""
        return self.final.exists()

    def read(self) -> dict[str, Record]:
        """Return the records so far, by item."""
        if self.complete:
            rows = read_table(self.final, remedy=ASK_AGAIN).iter_rows(named=True)
            return dict(self._record(row, f"{self.final}: row {row.get('item')!r}") for row in rows)
        return dict(self._lines())

    def append(self, item: str, record: Record) -> None:
        """Append one record. It is in the kernel's hands when this returns."""
        if self._file is None:
            self._file = self._open()
        line = json.dumps({"item": item, **asdict(record)}) + "\n"  # ASCII: any text is one line and never torn
        try:
            written = os.write(self._file, line.encode("ascii"))
        except OSError as error:
            error.filename = str(self.running)  # which the system leaves out when a disk is full
            raise
        if written != len(line):
            raise StoreError(f"{self.running}: could not write an answer (is the disk full?)")

    def finish(self, order: Sequence[str]) -> None:
        """Write the final file, in this order of items, and remove the lines.

        Raises StoreError if an item is missing.
        """
        self.close()
        records = self.read()
        missing = [item for item in order if item not in records]
        if missing:
            raise StoreError(f"{self.running}: {len(missing)} items have no record, the first is {missing[0]!r}")
        write_parquet(self.final, ({"item": item, **asdict(records[item])} for item in order), self._schema)
        self.running.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file of lines if it is open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        assert not self.complete, f"{self.final} exists: what is appended now would not be read"
        self.running.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.running, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(file, self.running.read_bytes().rfind(b"\n") + 1)
        return file

    def _lines(self) -> Iterator[tuple[str, Record]]:
        content = self.running.read_bytes() if self.running.exists() else b""
        whole, _, _torn = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                row = json.loads(line)
            except ValueError:  # not JSON or not UTF-8
                raise StoreError(
                    f"{self.running}: line {number} is not JSON; remove that line and its item is asked again"
                ) from None
            yield self._record(row, f"{self.running}: line {number}")

    def _record(self, row: Any, where: str) -> tuple[str, Record]:
        """Return (item, record) of a row. Raises StoreError if its fields are not those of this log."""
        try:
            fields = dict(row)
            return str(fields.pop("item")), self._build(**fields)
        except (KeyError, TypeError, ValueError):
            names = ", ".join(map(str, row)) if isinstance(row, dict) else "no object"
            needed = ", ".join(self._schema)
            raise StoreError(
                f"{where} is not a record of this log (it has {names or 'no fields'}, it needs {needed})"
                "; another version may have written it: use another --out"
            ) from None
