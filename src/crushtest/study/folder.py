"""A study folder: append answers as they come, resume, read back.

    <study>/study.yaml  manifest.json  items/<task>.parquet  estimates.parquet  contrasts.parquet  report.html
    <study>/arms/<arm>/compression.json  answers/<task>.parquet  scores/<scorer>/<task>.parquet
    <study>/arms/dense/likeliest/<task>/<passage>.safetensors      if arms are compared by likeliest tokens
    <study>/noise.parquet  arms/<arm>/repeats/<number>/answers ... scores ...      if the study has a noise floor
    <study>/arms/<arm>/draws/<number>/compression.json  answers ... scores ...     if an arm has further draws

While a task runs, its answers (and scores) are lines of a `.jsonl` next to the final file. After the last one they
become Parquet, in the order of the items. A `.parquet` is always complete: it is written under another name and
renamed. Its metadata say what it is and name the files that it was made from by their digests, and every reader here
checks them (docs/studies.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from crushtest.errors import StoreError, UsageError
from crushtest.files.append_log import AppendLog, remove_superseded
from crushtest.files.atomic import PARTIAL, file_name
from crushtest.files.locks import lock_folder, refuse_if_locked
from crushtest.files.parquet import ASK_AGAIN, DRAW_AGAIN, RESTORE, SCORE_AGAIN, Label, read_table, write_table
from crushtest.files.regular import read_bytes, sha256
from crushtest.files.sealed import is_sealed
from crushtest.records import DENSE, Item, Kind, Score
from crushtest.registry import scorer_identity
from crushtest.results import Contrast, Estimate, NoiseBand
from crushtest.stats.stored_items import Index, StoredItems
from crushtest.study import manifest
from crushtest.study.compression_file import read_compression
from crushtest.study.result_tables import ResultTables
from crushtest.study.rows import ANSWER_BUILDERS, ANSWERS, ITEMS, SCORES, item_row, items_from

BUSY = "another run is writing to this study"
PART = ("look", "looks", "asked", "items", "because")
"""What answers say that were not asked of every item (`stops`)."""


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
        with lock_folder(self.root, BUSY):
            remove_superseded(self.root)
            yield

    def refuse_if_locked(self) -> None:
        """Raise StoreError if another process is writing to the folder: asked before any work."""
        refuse_if_locked(self.root, BUSY)

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

    def has_current_report(self) -> bool:
        """Return whether report.html is there and shows the results in the folder."""
        return self.report.exists() and not self.outdated.exists()

    @property
    def estimates(self) -> Path:
        return self.results.estimates

    @property
    def contrasts(self) -> Path:
        return self.results.contrasts

    @property
    def noise(self) -> Path:
        return self.results.noise

    def arm(self, arm: str, repeat: int = 0, draw: int = 0) -> Path:
        folder = _named_folder(self.root / "arms", arm)
        if repeat:
            return folder / "repeats" / str(repeat)
        return folder / "draws" / str(draw) if draw else folder

    def compression(self, arm: str, draw: int = 0) -> Path:
        return self.arm(arm, draw=draw) / "compression.json"

    def read_compression(self, arm: str, draw: int = 0) -> dict[str, Any] | None:
        """Return the record of an arm's compression, None without one. Raises StoreError if it is damaged or gone."""
        path = self.compression(arm, draw)
        record = read_compression(path, arm)
        listed = manifest.files(self.manifest).get(path.relative_to(self.root).as_posix())
        if record is None and listed is not None:
            raise StoreError(f"{path} is missing, which {self.manifest} lists; {RESTORE}")
        if record is not None and listed is not None:
            content = read_bytes(path, remedy=RESTORE)
            if not is_sealed(content) and sha256(content) != listed.get("sha256"):
                raise StoreError(f"{path} is not the file that {self.manifest} lists; {RESTORE}")
        return record

    def likeliest(self, task: str) -> Path:
        """Return where the dense arm keeps its likeliest next tokens for the other arms."""
        return self.arm(DENSE) / "likeliest" / file_name(task)

    # ---- items

    def items_path(self, task: str) -> Path:
        return self.root / "items" / f"{file_name(task)}.parquet"

    def write_items(self, task: str, items: Sequence[Item], *, anew: bool = False) -> None:
        """Write the items of a task. Raises StoreError if the folder holds others under that name, unless `anew`."""
        path = self.items_path(task)
        if path.exists() and not anew:
            self.check_items(task, items)
        else:
            write_table(path, [item_row(item) for item in items], ITEMS, Label({"kind": "items", "task": task}))

    def check_items(self, task: str, items: Sequence[Item]) -> None:
        """Raise StoreError if the folder holds other items of a task."""
        if not (path := self.items_path(task)).exists():
            return
        existing, rows = self._items(task).to_dicts(), [item_row(item) for item in items]
        if existing != pl.DataFrame(rows, schema=ITEMS.schema).to_dicts():
            raise StoreError(
                f"{path}: this study was run on other items of {task!r} "
                f"({len(existing)} then, {len(rows)} now); use another --out"
            )

    def read_items(self, task: str) -> list[Item]:
        """Return the items of a task as they were asked."""
        return items_from(self.items_table(task))

    def stored_items(self, task: str) -> StoredItems:
        """Return the items of a task by columns; they become objects where something reads them one by one."""

        def read(rows: Index | None) -> list[Item]:
            table = self.items_table(task)
            return items_from(table if rows is None else table[rows])

        return StoredItems.of_file(self.items_table(task), read)

    def items_table(self, task: str) -> pl.DataFrame:
        """Return items/<task>.parquet, checked."""
        if not os.path.lexists(path := self.items_path(task)):
            raise StoreError(f"{path} is missing: the study has not asked {task!r} yet, or it was deleted; {RESTORE}")
        return self._items(task)

    def _items(self, task: str) -> pl.DataFrame:
        facts = {"kind": "items", "task": task}
        path = self.items_path(task)
        frame = read_table(path, ITEMS, remedy=DRAW_AGAIN, facts=facts).frame
        if frame["item"].n_unique() < frame.height:
            raise StoreError(f"{path} cannot be used (it holds an item twice); {DRAW_AGAIN}")
        return frame

    # ---- answers and scores

    def answers(self, arm: str, task: str, kind: Kind, *, repeat: int = 0, draw: int = 0) -> AppendLog[Any]:
        """Return the log of an arm's answers to a task, or of a repeat's, or of a further draw's."""
        path = self.arm(arm, repeat, draw) / "answers" / f"{file_name(task)}.parquet"
        return AppendLog(
            path,
            ANSWERS[kind],
            ANSWER_BUILDERS[kind],
            root=self.root,
            facts={"kind": "answers", "arm": arm, "repeat": repeat, **_of_draw(draw), "task": task},
            sources=(self.items_path(task),),
            remedy=ASK_AGAIN,
            partial=PART,
        )

    def scores(self, arm: str, scorer: str, task: str, *, repeat: int = 0, draw: int = 0) -> AppendLog[Score]:
        """Return the log of a scorer's scores of an arm's completions of a task."""
        name, parent = f"{file_name(task)}.parquet", self.arm(arm, repeat, draw) / "scores"
        identity = _stored_scorer(parent, scorer)
        return AppendLog(
            _named_folder(parent, identity) / name,
            SCORES,
            Score,
            root=self.root,
            facts={"kind": "scores", "arm": arm, "repeat": repeat, **_of_draw(draw), "scorer": identity, "task": task},
            sources=(self.items_path(task), self.arm(arm, repeat, draw) / "answers" / name),
            remedy=SCORE_AGAIN,
            partial=PART,
        )

    # ---- results

    @property
    def results(self) -> ResultTables:
        return ResultTables(self.root)

    def write_results(
        self,
        estimates: Sequence[Estimate],
        contrasts: Sequence[Contrast],
        bands: Sequence[NoiseBand] = (),
        *,
        sources: Iterable[Path] = (),
        repeats: Iterable[Path] = (),
    ) -> None:
        """Write the tables of results, which name their `sources`: the items, answers and scores behind them.

        `repeats` are the answers and scores of repeats, behind the noise bands.
        The old report stays, marked as outdated, until `write_report` has a new one.
        """
        self.outdated.touch()
        self.results.write(estimates, contrasts, bands, sources=sources, repeats=repeats)

    def read_estimates(self) -> list[Estimate]:
        return self.results.read_estimates()

    def read_contrasts(self) -> list[Contrast]:
        return self.results.read_contrasts()

    def read_bands(self) -> list[NoiseBand]:
        return self.results.read_bands()


def _of_draw(draw: int) -> dict[str, Any]:
    """Return what a label says of a further draw; nothing of draw 0, whose files are those of an arm without draws."""
    return {"draw": draw} if draw else {}


def _named_folder(parent: Path, name: str) -> Path:
    """Return the folder of an arm or scorer; older studies wrote the colons of its name as they are."""
    older = parent / file_name(name).replace("%3A", ":")
    return older if older.is_dir() else parent / file_name(name)


def _stored_scorer(parent: Path, spec: str) -> str:
    """Return the name that a scorer's scores are stored under; older studies named some by other words.

    They wrote options of patience into the name, or named the first option, or had the options in another order.
    """
    identity = scorer_identity(spec)
    name = identity.partition(":")[0]
    if _named_folder(parent, identity).is_dir():
        return identity
    stored = [unquote(path.name) for path in sorted(parent.glob(f"{name}[%:]*")) if path.is_dir()]
    return next((older for older in stored if _same_scorer(older, identity)), identity)


def _same_scorer(older: str, identity: str) -> bool:
    try:
        return scorer_identity(older) == identity
    except UsageError:  # of a plug-in that is not here, or no scorer at all
        return False
