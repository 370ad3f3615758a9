"""Append records one by one; each is safe once it is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from crushtest.errors import StoreError
from crushtest.files.atomic import replacing
from crushtest.files.parquet import (
    Label,
    Table,
    TableKind,
    check_sources,
    digests,
    read_table,
    row_problem,
    write_table,
)
from crushtest.files.regular import read_bytes
from crushtest.files.sealed import is_sealed

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import DataclassInstance

FIRST = "log"
"""The key of the first line, which holds the log's facts."""

Record = TypeVar("Record", bound="DataclassInstance")


def remove_superseded(folder: Path) -> None:
    """Remove logs whose final file exists: a process was killed before it could. Only while nobody else is writing."""
    for running in folder.rglob("*.jsonl"):
        if running.with_suffix(".parquet").exists():
            running.unlink()


class AppendLog(Generic[Record]):
    """Records by item: one JSON line each while they arrive, one Parquet file once all are there.

    A line is written with a single call and is safe from then on, even if the process is killed. A kill during that
    call leaves a torn last line, which is not read and is cut off before the next line is written. The first line says
    what the log is; older versions wrote none.

    root      the study, which the final file names its sources in
    facts     what the final file and the first line say that it is
    sources   what the records are made from
    remedy    what to do with a damaged file
    partial   names of facts with which the final file may say that it holds a part of the items, and why
    """

    def __init__(
        self,
        final: Path,
        kind: TableKind,
        build: Callable[..., Record],
        *,
        root: Path | None = None,
        facts: dict[str, str | int] | None = None,
        sources: Sequence[Path] = (),
        remedy: str = "remove it and its items are asked again",
        partial: Sequence[str] = (),
    ) -> None:
        self.final = final
        self.running = final.with_suffix(".jsonl")
        self._kind = kind
        self._build = build
        self._root = root or final.parent
        self._facts = facts or {}
        self._sources = tuple(sources)
        self._remedy = remedy
        self._partial = tuple(partial)
        self._file: int | None = None

    @property
    def complete(self) -> bool:
        """True if the final file exists."""
        return self.final.exists()

    def read(self, items: Sequence[str] | None = None) -> dict[str, Record]:
        """Return the records so far, by item.

        Raises StoreError for a damaged file, and where records are not those of `items`: the final file holds each, or
        the part that it says, exactly once and in their order.
        """
        if not self.complete:
            return self._lines(items)
        return self.records(self.table(items).frame)

    def records(self, frame: pl.DataFrame) -> dict[str, Record]:
        """Return the records of some rows of the final file, by item. Raises StoreError as `read` does."""
        return dict(self._record(row, f"{self.final}: row {row['item']!r}") for row in frame.iter_rows(named=True))

    def table(self, items: Sequence[str] | pl.Series | None = None) -> Table:
        """Return the final file, checked as `read` does."""
        table = read_table(self.final, self._kind, remedy=self._remedy, facts=self._facts, also=self._partial)
        if table.label is None:
            self._refuse_nameless()
        check_sources(self._root, table, remedy=self._remedy)
        if items is not None and table.frame["item"].equals(_series(items)):
            return table
        ids, items = table.frame["item"].to_list(), None if items is None else list(items)
        if items is not None and self._part_of(table):
            held = set(ids)
            items = [item for item in items if item in held]
        if (problem := _other_items(ids, items)) is not None:
            raise StoreError(f"{self.final} {problem}; {self._remedy}")
        return table

    def part(self) -> dict[str, str | int]:
        """Return what the final file says of the part of the items that it holds; nothing if it holds all."""
        return self._part_of(self.table()) if self.complete else {}

    def _part_of(self, table: Table) -> dict[str, str | int]:
        facts = table.label.facts if table.label else {}
        return {name: facts[name] for name in self._partial if name in facts}

    def _refuse_nameless(self) -> None:
        """Raise StoreError for a final file without a label whose sources have one: it was not written with them."""
        for source in self._sources:
            if source.exists() and is_sealed(read_bytes(source, remedy="restore it")):
                raise StoreError(
                    f"{self.final} does not say what it was made from, though {source} does: it was changed after it "
                    f"was written; restore it, or {self._remedy}"
                )

    def append(self, item: str, record: Record) -> None:
        """Append one record. It is in the kernel's hands when this returns."""
        if self._file is None:
            self._file = self._open()
        first = b"" if os.fstat(self._file).st_size else self._first_line()
        line = first + _line(item, record)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            error.filename = str(self.running)  # which the system leaves out when a disk is full
            raise
        if written != len(line):
            raise StoreError(f"{self.running}: could not write an answer (is the disk full?)")

    def finish(
        self, order: Sequence[str], *, also: Sequence[Path] = (), part: Mapping[str, str | int] | None = None
    ) -> None:
        """Write the final file, in this order of items, and remove the lines. `also` are further sources.

        `part` says which part of the items it holds, and why. Raises StoreError if an item is missing.
        """
        self.close()
        records = self.read(order)
        missing = [item for item in order if item not in records]
        if missing:
            raise StoreError(f"{self.running}: {len(missing)} items have no record, the first is {missing[0]!r}")
        sources = [source for source in (*self._sources, *also) if source.exists()]
        label = Label(self._facts | dict(part or {}), digests(self._root, sources))
        write_table(self.final, ({"item": item, **_values(records[item])} for item in order), self._kind, label)
        self.running.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Turn the final file, if there is one, back into lines, so that records of more items can be appended."""
        if not self.complete:
            return
        records = self.read()
        with replacing(self.running) as temporary:
            lines = [self._first_line(), *(_line(item, record) for item, record in records.items())]
            temporary.write_bytes(b"".join(lines))
        self.final.unlink()

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

    def _first_line(self) -> bytes:
        return json.dumps({FIRST: self._facts}).encode("ascii") + b"\n" if self._facts else b""

    def _lines(self, items: Sequence[str] | None) -> dict[str, Record]:
        records: dict[str, Record] = {}
        expected = None if items is None else frozenset(items)
        for number, row in self._rows():
            where = f"{self.running}: line {number}"
            item, record = self._record(row, where)
            if (problem := row_problem(row, self._kind)) is not None:
                raise StoreError(f"{where}: {problem}; remove that line and its item is asked again")
            if item in records:
                raise StoreError(f"{where} is the second one of item {item!r}; remove one of the two")
            if expected is not None and item not in expected:
                raise StoreError(f"{where} is of item {item!r}, which this study does not ask; remove that line")
            records[item] = record
        return records

    def _rows(self) -> Iterator[tuple[int, Any]]:
        """Yield the whole lines so far, parsed, with their numbers."""
        here = os.path.lexists(self.running)
        content = read_bytes(self.running, remedy=self._remedy) if here else b""
        whole, _, _torn = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
                raise StoreError(
                    f"{self.running}: line {number} is not JSON; remove that line and its item is asked again"
                ) from None
            if number > 1 or not isinstance(row, dict) or row.keys() != {FIRST}:
                yield number, row
            elif row[FIRST] != self._facts:
                raise StoreError(
                    f"{self.running} is of another place ({row[FIRST]}) than its own ({self._facts}); restore the file "
                    f"that belongs here, or {self._remedy}"
                )

    def _record(self, row: Any, where: str) -> tuple[str, Record]:
        """Return (item, record) of a row. Raises StoreError if its fields are not those of this log."""
        try:
            fields = dict(row)
            return str(fields.pop("item")), self._build(**fields)
        except (KeyError, TypeError, ValueError):
            names = ", ".join(map(str, row)) if isinstance(row, dict) else "no object"
            needed = ", ".join(self._kind.schema)
            raise StoreError(
                f"{where} is not a record of this log (it has {names or 'no fields'}, it needs {needed})"
                f"; another version may have written it: use another --out, or {self._remedy}"
            ) from None


def _line(item: str, record: DataclassInstance) -> bytes:
    return (json.dumps({"item": item, **_values(record)}) + "\n").encode("ascii")  # any text is one line and never torn


def _values(record: DataclassInstance) -> dict[str, Any]:
    """Return a record's fields, tuples as lists: what a row of a table is made from soonest.

    `asdict` copies what is in them, which takes longer than all else that a line takes.
    """
    values = ((each.name, getattr(record, each.name)) for each in fields(record))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def _series(items: Sequence[str] | pl.Series) -> pl.Series:
    import polars as pl

    return items if isinstance(items, pl.Series) else pl.Series(items, dtype=pl.String)


def _other_items(ids: Sequence[Any], items: Sequence[str] | None) -> str | None:
    """Return how the items of a final file differ from those that were asked; None if they do not."""
    if items is not None and list(ids) == list(items):
        return None
    seen: set[Any] = set()
    for item in ids:
        if item in seen:
            return f"holds item {item!r} twice"
        seen.add(item)
    if items is None:
        return None
    if foreign := sorted(seen - set(items)):
        return f"holds item {foreign[0]!r}, which the study did not ask"
    if missing := [item for item in items if item not in seen]:
        return f"lacks {len(missing)} of {len(items)} items, the first is {missing[0]!r}"
    return "holds its items in another order than they were asked in"
