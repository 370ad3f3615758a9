"""The tables of results: estimates, contrasts and, if an arm was repeated, noise bands."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from crushtest.errors import StoreError
from crushtest.files.atomic import file_name
from crushtest.files.parquet import (
    DRAW_AGAIN,
    RESTORE,
    Label,
    Table,
    TableKind,
    check_sources,
    digests,
    read_table,
    write_table,
)
from crushtest.files.regular import read_bytes, sha256
from crushtest.files.sealed import is_sealed
from crushtest.records import DENSE
from crushtest.results import Contrast, Estimate, NoiseBand
from crushtest.stats.verdicts import VERDICTS
from crushtest.study import manifest
from crushtest.study.contrast_table import CONTRASTS, contrast_from_row, contrast_row
from crushtest.study.draw_columns import DRAW_COLUMNS, draw_cells, draws_of_row

Result = TypeVar("Result", Estimate, Contrast, NoiseBand)


def _schema_of(record: type[Any]) -> pl.Schema:
    """Return the columns of a table of records, from their fields' annotations."""
    types = {"str": pl.String, "float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "Better": pl.String}
    plain = {f.name: types[str(f.type).removesuffix(" | None")] for f in fields(record) if f.name not in DRAW_COLUMNS}
    return pl.Schema(plain)


ESTIMATES = TableKind(
    "estimates",
    pl.Schema({**_schema_of(Estimate), **DRAW_COLUMNS}),
    newer=frozenset(DRAW_COLUMNS),
    filled=("arm", "task", "metric", "group", "n", "n_unscored", "better"),
)
NOISE = TableKind(
    "noise",
    _schema_of(NoiseBand),
    newer=frozenset({"arm", "low", "high", "flip_share", "net_share"}),
    filled=("task", "metric", "group", "repeats"),
)


def _estimate_row(estimate: Estimate) -> dict[str, Any]:
    return {**asdict(replace(estimate, draws=None)), **draw_cells(estimate.draws)}


def _estimate_from_row(row: Mapping[str, Any]) -> Estimate:
    plain = {column: value for column, value in row.items() if column not in DRAW_COLUMNS}
    return Estimate(**plain, draws=draws_of_row(row))


@dataclass(frozen=True)
class ResultTables:
    """The tables of results of the study in `root`."""

    root: Path

    @property
    def estimates(self) -> Path:
        return self.root / "estimates.parquet"

    @property
    def contrasts(self) -> Path:
        return self.root / "contrasts.parquet"

    @property
    def noise(self) -> Path:
        return self.root / "noise.parquet"

    def write(
        self,
        estimates: Sequence[Estimate],
        contrasts: Sequence[Contrast],
        bands: Sequence[NoiseBand],
        *,
        sources: Iterable[Path],
        repeats: Iterable[Path],
    ) -> None:
        """Write the tables. Each names its sources; the contrasts, which are written last, the other two as well."""
        made_from = digests(self.root, sources)
        with_repeats = made_from | digests(self.root, repeats)
        if bands:
            write_table(self.noise, map(asdict, bands), NOISE, Label({"kind": NOISE.name}, with_repeats))
        else:
            self.noise.unlink(missing_ok=True)
        write_table(
            self.estimates, map(_estimate_row, estimates), ESTIMATES, Label({"kind": ESTIMATES.name}, made_from)
        )
        of_contrasts = with_repeats | digests(self.root, [self.estimates, *([self.noise] if bands else [])])
        label = Label({"kind": CONTRASTS.name}, dict(sorted(of_contrasts.items())))
        write_table(self.contrasts, map(contrast_row, contrasts), CONTRASTS, label)

    def read_estimates(self) -> list[Estimate]:
        return self._records(self.estimates, ESTIMATES, _estimate_from_row)

    def read_contrasts(self) -> list[Contrast]:
        """Read contrasts.parquet, and check every file that it was made from.

        Raises StoreError if one has changed, and for verdicts of another version, which would be miscounted.
        """
        rows = self._records(self.contrasts, CONTRASTS, contrast_from_row)
        unknown = sorted({row.verdict for row in rows} - VERDICTS)
        if unknown:
            raise StoreError(
                f"{self.contrasts} holds verdicts of another version of crushtest ({', '.join(map(repr, unknown))}); "
                f"run `crushtest compare {self.root}`"
            )
        return rows

    def read_bands(self) -> list[NoiseBand]:
        """Return the noise bands; none if no arm was repeated. A table without the column `arm` is about dense."""
        if not os.path.lexists(self.noise):
            return []
        return self._records(self.noise, NOISE, lambda row: NoiseBand(**{**row, "arm": row["arm"] or DENSE}))

    def are_sound(self) -> bool:
        """Return whether all tables can be used; a comparison makes the others anew."""
        try:
            self.table(self.estimates, ESTIMATES)
            self.table(self.contrasts, CONTRASTS)
            self.read_bands()
        except StoreError:
            return False
        return True

    def are_nameless(self) -> bool:
        """Return whether an older version wrote contrasts.parquet, which can be read but does not say its sources."""
        try:
            return self.table(self.contrasts, CONTRASTS).label is None
        except StoreError:
            return False

    def label(self) -> Label | None:
        """Return what contrasts.parquet says that it was made from; None if it cannot be used or does not say."""
        try:
            return read_table(self.contrasts, CONTRASTS, remedy="", facts={"kind": CONTRASTS.name}).label
        except StoreError:
            return None

    def table(self, path: Path, kind: TableKind) -> Table:
        """Return a table of results, checked, with every file that it was made from."""
        if not os.path.lexists(path):
            raise StoreError(
                f"{path} is missing: `crushtest run` finishes the study, `crushtest compare {self.root}` compares what "
                "is answered"
            )
        table = read_table(path, kind, remedy=self._compare_again, facts={"kind": kind.name})
        if table.label is None and self.is_tied(table.frame["task"].unique().to_list()):
            raise StoreError(
                f"{path} does not say what it was made from, though {self.root / 'items'} does: it was changed after "
                f"it was written, or what it was made from was; {self._compare_again}"
            )
        check_sources(self.root, table, remedy=self._compare_again)
        manifest.check_listed(self._manifest, path.name)
        return table

    def is_tied(self, tasks: Collection[str] = ()) -> bool:
        """Return whether the files of these tasks, or of any, name each other by digest.

        Those that older versions wrote do not, even if a task was added to their study since.
        """
        names = {f"{file_name(task)}.parquet" for task in tasks}
        items = [path for path in sorted(self.root.glob("items/*.parquet")) if not names or path.name in names]
        listed = manifest.FILES in manifest.read(self._manifest)
        return listed or any(is_sealed(read_bytes(path, remedy=DRAW_AGAIN)) for path in items)

    def refuse_lost_sources(self) -> None:
        """Raise StoreError if what the last comparison was made from is gone, or was changed by something else.

        What a run has answered or scored anew since then is neither. Contrasts that cannot be read say nothing.
        """
        label = self.label()
        for name, digest in (label.sources if label else {}).items():
            path = self.root / name
            if path in (self.estimates, self.noise):
                continue
            content = read_bytes(path, remedy=f"{self.contrasts} was made from it; {RESTORE}")
            if sha256(content) != digest and not is_sealed(content):
                raise StoreError(f"{path} was changed after {self.contrasts} was made from it; {RESTORE}")

    @property
    def _manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def _compare_again(self) -> str:
        return f"run `crushtest compare {self.root}`, which makes it anew from the answers"

    def _records(self, path: Path, kind: TableKind, record: Callable[[Mapping[str, Any]], Result]) -> list[Result]:
        return [record(row) for row in self.table(path, kind).frame.iter_rows(named=True)]
