"""A study's tables as files: every row as CSV, and the tables of a paper as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from crushtest.records import DENSE
from crushtest.report.dialect import study_tables
from crushtest.report.formats import show_bytes, show_value, unit_of_difference
from crushtest.report.page.matrix import Cell, Column, cell, metric_rows, overview
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.table_files import Table, inert, write_all
from crushtest.report.task_view import TaskView
from crushtest.report.untested import why_untested
from crushtest.report.wording import ALL, DIRECTIONS, group_text
from crushtest.stats.verdicts import SPURIOUS_IMPROVEMENT
from crushtest.study.contrast_table import contrast_row
from crushtest.study.folder import StudyFolder

UNITS = {"points": "rate", "bits": "bits", "nats": "nats"}
"""Unit of a difference -> unit of the metric."""
WORDS = {"worse": "worse", "better": "better", "changed": "changed", "noise": "n.s."}


def write_tables(folder: StudyFolder, target: Path) -> list[Path]:
    """Write all tables of a study and return the files.

    `estimates.csv` and `contrasts.csv` hold every row and column in full precision. The others are rounded for
    reading: the overview, per task its measures and its headline by group, and what a dialect
    costs.
    """
    study = read_study(folder)
    target.mkdir(parents=True, exist_ok=True)
    records = [_write_records(study, target, which) for which in ("estimates", "contrasts")]
    return [*records, *write_all(tables(study), target)]


def tables(study: StudyView) -> Iterator[Table]:
    """Yield the tables for reading.

    Captions say why a cell cannot be tested, and which variants come from one calibration draw.
    """
    untested = why_untested(study)
    for table in _tables(study):
        has_untested = any("cannot be tested" in text for row in table.rows for text in row)
        parts = (table.caption, untested if has_untested else "", study.draws)
        yield replace(table, caption=" ".join(part for part in parts if part))


def _tables(study: StudyView) -> Iterator[Table]:
    yield _overview(study)
    for task in study.tasks:
        if any(measured == task.name for measured, _ in study.rows_of):
            yield _measures(study, task)
            if any(group != ALL for group in study.rows_of.get((task.name, task.headline.name), [])):
                yield _groups(study, task)
    yield from study_tables(study)


def _overview(study: StudyView) -> Table:
    matrix = overview(study)
    rows = [
        (
            arm.name,
            _size(arm.totals.get("compressed_model_size_bytes"), arm.share_of_dense),
            *(
                _text(each, column.task.headline.unit, unit_shown=False)
                for each, column in zip(cells, matrix.columns, strict=True)
            ),
        )
        for arm, cells, _ in matrix.rows
    ]
    sizes = [size for arm in study.others if (size := arm.totals.get("dense_model_size_bytes"))]
    dense = (DENSE, _size(sizes[0] if sizes else None, None), *(_dense(study, column) for column in matrix.columns))
    return Table(
        "overview",
        "Dense: its values in the measure that heads each task. Below: change against dense with its 95% interval. "
        "n.s.: no clear difference. Size: the whole model, ideal storage.",
        ("variant", "size", *(_heading(column) for column in matrix.columns)),
        (dense, *rows),
        spans=True,
    )


def _size(size: float | None, share: float | None) -> str:
    if not size:
        return "not recorded"
    return show_bytes(size) if share is None else f"{show_bytes(size)} ({share:.0%})"


def _dense(study: StudyView, column: Column) -> str:
    row = study.estimate(DENSE, column.task.name, column.task.headline.name, column.group)
    return "not measured" if row is None else show_value(row.value, column.task.headline.unit)


def _heading(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.label.text} ({column.about}{unit}; {column.direction})"


def _measures(study: StudyView, task: TaskView) -> Table:
    rows = [
        (
            f"{row.label.text} ({row.direction})",
            row.dense,
            *(_text(each, UNITS.get(row.unit, "score")) for each in row.cells),
        )
        for row in metric_rows(study, task)
    ]
    return Table(
        f"{task.name}-measures",
        f"{task.name}: every measure over all items; change against dense with its 95% interval.",
        ("measure", "dense", *(arm.name for arm in study.others)),
        tuple(rows),
    )


def _groups(study: StudyView, task: TaskView) -> Table:
    metric, unit = task.headline.name, task.headline.unit
    rows = [
        (group_text(group), *(_text(cell(study.contrast(arm.name, task.name, metric, group), unit), unit)
                              for arm in study.others))
        for group in study.rows_of[task.name, metric]
    ]  # fmt: skip
    return Table(
        f"{task.name}-groups",
        f"{task.label(metric).text} ({DIRECTIONS[task.headline.better]}) by group, change against dense with its "
        "95% interval.",
        ("group", *(arm.name for arm in study.others)),
        tuple(rows),
    )


def _text(shown: Cell, unit: str, *, unit_shown: bool = True) -> str:
    """Return a cell on one line: `+4.1 points [+1.0, +7.2] worse`."""
    if not shown.interval:
        return shown.text
    interval = shown.interval.replace(" to ", ", ")
    word = shown.word if shown.word == SPURIOUS_IMPROVEMENT else WORDS.get(shown.tone, shown.word)
    return f"{shown.text}{unit_of_difference(unit) if unit_shown else ''} [{interval}] {word}"


# ---- files ------------------------------------------------------------------------------------------


def _write_records(study: StudyView, target: Path, which: str) -> Path:
    """Write all estimates or contrasts: every column, numbers in full precision."""
    records: list[dict[str, Any]]
    if which == "estimates":
        records = [asdict(estimate) for estimate in study.folder.read_estimates()]
    else:
        records = [contrast_row(contrast) for contrast in study.folder.read_contrasts()]
    path = target / f"{which}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(records[0] if records else [])
        for record in records:
            rows.writerow(inert(value) if isinstance(value, str) else value for value in record.values())
    return path
