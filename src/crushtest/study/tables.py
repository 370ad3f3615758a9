"""A finished study as tables, for notebooks and scripts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from crushtest.records import DENSE
from crushtest.study.contrast_table import CONTRASTS
from crushtest.study.folder import StudyFolder
from crushtest.study.result_tables import ESTIMATES, NOISE


class Study:
    """The study in a folder. Its tables are polars frames, read from the files whenever they are asked for.

    Every table is checked as `crushtest query` checks it (docs/studies.md). Raises StoreError if the folder holds no
    study, or a table that is missing, damaged or not made from the files beside it.
    """

    def __init__(self, path: Path | str) -> None:
        self._folder = StudyFolder.existing(Path(path))

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The study's folder."""
        return self._folder.root

    @property
    def report(self) -> Path:
        """The page, report.html."""
        return self._folder.report

    @property
    def contrasts(self) -> pl.DataFrame:
        """One metric, one group, one arm against another, per row. Most readers want `against == "dense"`."""
        frame = self._folder.results.table(self._folder.contrasts, CONTRASTS).frame
        return frame.with_columns(pl.col("against").fill_null(DENSE))  # which tables of older versions leave out

    @property
    def estimates(self) -> pl.DataFrame:
        """One metric, one group, one arm, per row."""
        return self._folder.results.table(self._folder.estimates, ESTIMATES).frame

    @property
    def noise(self) -> pl.DataFrame:
        """How far repeats moved each metric. It has no rows if no arm was repeated."""
        if not self._folder.noise.exists():
            return pl.DataFrame(schema=NOISE.schema)
        return self._folder.results.table(self._folder.noise, NOISE).frame
