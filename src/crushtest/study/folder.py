"""A study folder: append answers as they come, resume, read back.

    <study>/study.yaml  manifest.json  items/<task>.parquet  estimates.parquet  contrasts.parquet  report.html
    <study>/arms/<arm>/compression.json  answers/<task>.parquet  scores/<scorer>/<task>.parquet
    <study>/arms/dense/likeliest/<task>/<passage>.safetensors      if arms are compared by likeliest tokens
    <study>/noise.parquet  arms/<arm>/repeats/<number>/answers ... scores ...      if the study has a noise floor

While a task runs, its answers (and scores) are lines of a `.jsonl` next to the final file. After the last one they
become Parquet, in the order of the items. A `.parquet` is always complete: it is written under another name and
renamed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog, remove_superseded
from crushtest.files.atomic import PARTIAL, file_name, remove_partial, write_parquet
from crushtest.files.parquet import DRAW_AGAIN, read_table
from crushtest.records import DENSE, Item, Kind, Score
from crushtest.registry import scorer_identity
from crushtest.results import Contrast, Estimate, NoiseBand
from crushtest.stats.verdicts import VERDICTS
from crushtest.study.contrast_table import CONTRAST_SCHEMA, contrast_from_row, contrast_row
from crushtest.study.rows import ANSWER_BUILDERS, ANSWER_SCHEMAS, ITEM_SCHEMA, SCORE_SCHEMA, item_from_row, item_row

Result = TypeVar("Result", Estimate, Contrast, NoiseBand)


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    root: Path

    @classmethod
    def existing(cls, root: Path) -> StudyFolder:
        """Return the folder of a study that has been run. Raises StoreError if it is not one."""
        if not (root / "study.yaml").is_file():
            near = sorted(path.parent.name for path in root.parent.glob("*/study.yaml")) if root.parent.is_dir() else []
            hint = f" (studies beside it: {', '.join(near)})" if near else ""
            raise StoreError(f"{root} is not a study folder: it has no study.yaml{hint}")
        return cls(root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process. Raises StoreError if another process is writing to it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{self.root}: another run is writing to this study; wait for it or stop it") from None
            remove_partial(self.root)
            remove_superseded(self.root)
            yield

    def is_fresh(self) -> bool:
        """Return True if the folder is missing or holds only debris of a run killed before it wrote anything."""
        return not self.root.exists() or all(
            path.name == ".lock" or path.name.endswith(PARTIAL) for path in self.root.iterdir()
        )

    def has_measured(self) -> bool:
        """Return True if anything of an arm is stored. Until then the study may still become another one."""
        return any(path.is_file() for path in self.root.glob("arms/**/*"))

    def forget_plan(self) -> None:
        """Remove what was drawn and noted before anything was measured."""
        for path in (*self.root.glob("items/*.parquet"), self.manifest):
            path.unlink(missing_ok=True)

    # ---- paths

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def specification(self) -> Path:
        return self.root / "study.yaml"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def outdated(self) -> Path:
        """A marker that exists while report.html may show older results than those in the folder."""
        return self.root / ".report-outdated"

    @property
    def estimates(self) -> Path:
        return self.root / "estimates.parquet"

    @property
    def contrasts(self) -> Path:
        return self.root / "contrasts.parquet"

    @property
    def noise(self) -> Path:
        return self.root / "noise.parquet"

    def arm(self, arm: str, repeat: int = 0) -> Path:
        folder = _named_folder(self.root / "arms", arm)
        return folder / "repeats" / str(repeat) if repeat else folder

    def compression(self, arm: str) -> Path:
        return self.arm(arm) / "compression.json"

    def likeliest(self, task: str) -> Path:
        """Return where the dense arm keeps its likeliest next tokens for the other arms."""
        return self.arm(DENSE) / "likeliest" / file_name(task)

    # ---- items

    def items_path(self, task: str) -> Path:
        return self.root / "items" / f"{file_name(task)}.parquet"

    def write_items(self, task: str, items: Sequence[Item]) -> None:
        """Write the items of a task. Raises StoreError if the folder holds other items under that name."""
        path = self.items_path(task)
        rows = [item_row(item) for item in items]
        if path.exists():
            existing = read_table(path, remedy=DRAW_AGAIN).to_dicts()
            if existing != pl.DataFrame(rows, schema=ITEM_SCHEMA).to_dicts():
                raise StoreError(
                    f"{path}: this study was run on other items of {task!r} "
                    f"({len(existing)} then, {len(rows)} now); use another --out"
                )
        else:
            write_parquet(path, rows, ITEM_SCHEMA)

    def read_items(self, task: str) -> list[Item]:
        """Return the items of a task as they were asked."""
        path = self.items_path(task)
        if not path.exists():
            raise StoreError(f"{path} is missing: the study has not asked {task!r} yet")
        return [item_from_row(row) for row in read_table(path, remedy=DRAW_AGAIN).iter_rows(named=True)]

    # ---- answers and scores

    def answers(self, arm: str, task: str, kind: Kind, *, repeat: int = 0) -> AppendLog[Any]:
        """Return the log of an arm's answers to a task."""
        path = self.arm(arm, repeat) / "answers" / f"{file_name(task)}.parquet"
        return AppendLog(path, ANSWER_SCHEMAS[kind], ANSWER_BUILDERS[kind])

    def scores(self, arm: str, scorer: str, task: str, *, repeat: int = 0) -> AppendLog[Score]:
        """Return the log of a scorer's scores of an arm's completions of a task."""
        path = _named_folder(self.arm(arm, repeat) / "scores", scorer_identity(scorer)) / f"{file_name(task)}.parquet"
        return AppendLog(path, SCORE_SCHEMA, Score)

    # ---- results

    def write_results(
        self, estimates: Sequence[Estimate], contrasts: Sequence[Contrast], bands: Sequence[NoiseBand] = ()
    ) -> None:
        """Write estimates.parquet, contrasts.parquet and, if an arm was repeated, noise.parquet.

        The old report stays, marked as outdated, until `write_report` has a new one.
        """
        self.outdated.touch()
        if bands:
            write_parquet(self.noise, map(asdict, bands), _schema_of(NoiseBand))
        else:
            self.noise.unlink(missing_ok=True)
        write_parquet(self.estimates, map(asdict, estimates), _schema_of(Estimate))
        write_parquet(self.contrasts, map(contrast_row, contrasts), CONTRAST_SCHEMA)

    def read_estimates(self) -> list[Estimate]:
        return self._records(self.estimates, lambda row: Estimate(**row))

    def read_contrasts(self) -> list[Contrast]:
        """Read contrasts.parquet. Raises StoreError for verdicts of another version, which would be miscounted."""
        rows = self._records(self.contrasts, contrast_from_row)
        unknown = sorted({row.verdict for row in rows} - VERDICTS)
        if unknown:
            raise StoreError(
                f"{self.contrasts} holds verdicts of another version of crushtest ({', '.join(map(repr, unknown))}); "
                f"run `crushtest compare {self.root}`"
            )
        return rows

    def read_bands(self) -> list[NoiseBand]:
        """Return the noise bands; none if no arm was repeated. A table without the column `arm` is about dense."""
        return self._records(self.noise, lambda row: NoiseBand(**row)) if self.noise.exists() else []

    def estimated_pairs(self) -> set[tuple[str, str]]:
        """Return the (arm, task) pairs in estimates.parquet; none if it cannot be read."""
        try:
            pairs = read_table(self.estimates, remedy="", columns=["arm", "task"])
        except StoreError:
            return set()
        return set(pairs.unique().iter_rows())

    def contrasted_pairs(self) -> set[tuple[str, str]]:
        """Return the (arm, compared with) pairs in contrasts.parquet, without dense; none if it lacks a column."""
        try:
            pairs = read_table(self.contrasts, remedy="", columns=["arm", "against"])
        except StoreError:
            return set()
        return {(arm, against) for arm, against in pairs.unique().iter_rows() if against != DENSE}

    def _records(self, path: Path, record: Callable[[Mapping[str, Any]], Result]) -> list[Result]:
        """Return the records of a table of results."""
        if not path.exists():
            raise StoreError(f"{path} is missing: run `crushtest compare {self.root}` first")
        remedy = f"run `crushtest compare {self.root}`, which makes it anew from the answers"
        table = read_table(path, remedy=remedy)
        try:
            return [record(row) for row in table.iter_rows(named=True)]
        except TypeError:
            raise StoreError(f"{path} was written by another version of crushtest; {remedy}") from None


def _named_folder(parent: Path, name: str) -> Path:
    """Return the folder of an arm or scorer; older studies wrote the colons of its name as they are."""
    older = parent / file_name(name).replace("%3A", ":")
    return older if older.is_dir() else parent / file_name(name)


def _schema_of(record: type[Any]) -> pl.Schema:
    """Return the columns of a table of records, from their fields' annotations."""
    types = {"str": pl.String, "float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "Better": pl.String}
    return pl.Schema({f.name: types[str(f.type).removesuffix(" | None")] for f in fields(record)})
