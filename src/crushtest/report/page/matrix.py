"""Contrasts laid out in rows and columns, for the page's matrices and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from crushtest.records import DENSE
from crushtest.report.answers import Changed, changed_text, most_changed
from crushtest.report.arm_view import ArmView
from crushtest.report.bounds import interval_text, room_text
from crushtest.report.chance import no_evidence_of_bias
from crushtest.report.claims import judged_p
from crushtest.report.findings import anchor, none_detectable
from crushtest.report.formats import (
    MINUS,
    show_band,
    show_difference,
    show_p,
    show_range,
    show_value,
    unit_of_difference,
)
from crushtest.report.headlines import as_ratio
from crushtest.report.shading import Tone, clear_alone, is_clear, shade, verdict_text
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView, by_headline
from crushtest.report.wording import ALL, DIRECTIONS, Label, counted, group_text
from crushtest.results import Contrast, Estimate
from crushtest.stats.joint_claims import UNTESTED
from crushtest.stats.verdicts import INCONCLUSIVE


@dataclass(frozen=True)
class Cell:
    """One contrast as a table cell. `sort` is its difference; `note` holds its cautions."""

    tone: Tone
    depth: int
    text: str
    interval: str
    word: str
    sort: float | None
    note: str


@dataclass(frozen=True)
class Column:
    """A headline measure of the overview, over all items or one group.

    missed   which changes these items would often have missed
    """

    task: TaskView
    group: str
    label: Label
    direction: str
    unit: str
    anchor: str
    chance: str
    missed: str

    @property
    def about(self) -> str:
        """The task, and the group unless it is all items."""
        return self.task.name if self.group == ALL else f"{self.task.name}, {group_text(self.group)}"


class OverviewRow(NamedTuple):
    """One arm: a cell for each column, and its changed answers."""

    arm: ArmView
    cells: tuple[Cell, ...]
    changed: Changed


@dataclass(frozen=True)
class Overview:
    """Arms by headline measures, compared with `against`; columns come by dimension.

    `comparisons` counts what p is corrected over.
    """

    dimensions: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    rows: tuple[OverviewRow, ...]
    against: str
    comparisons: int


def overview(study: StudyView) -> Overview:
    """Return the matrix of the arms that are compared with the view's baseline, and all tasks' headlines."""
    columns = {
        name: [
            _column(study, headed, group)
            for task in tasks
            for headed in by_headline(task)
            for group in study.headline_groups(headed)
        ]
        for name, tasks in study.dimensions.items()
    }
    flat = tuple(column for of_dimension in columns.values() for column in of_dimension)
    rows = tuple(
        OverviewRow(arm, tuple(headline_cell(study, arm, column) for column in flat), most_changed(study, arm))
        for arm in study.others
        if study.baseline == DENSE or any(compared == arm.name for compared, _ in study.compared)
    )
    widths = tuple((name, len(of_dimension)) for name, of_dimension in columns.items())
    return Overview(widths, flat, rows, study.baseline, study.comparisons)


def _column(study: StudyView, task: TaskView, group: str) -> Column:
    direction, unit = DIRECTIONS[task.headline.better], unit_of_difference(task.headline.unit).strip()
    chance = _chance_text(task, task.headline.name)
    return Column(
        task=task,
        group=group,
        label=task.label(task.headline.name),
        direction=direction,
        unit=unit,
        anchor=anchor(task),
        chance=chance,
        missed=_missed_text(study, task, group),
    )


def _missed_text(study: StudyView, task: TaskView, group: str) -> str:
    """Say below which size a change would often have been missed, in the arm without a clear one that shows least."""
    unit = task.headline.unit
    every = [study.contrast(arm.name, task.name, task.headline.name, group) for arm in study.others]
    rows = [row for row in every if row is not None and not is_clear(row) and row.verdict not in UNTESTED]
    if not rows and any(row is not None and row.verdict == INCONCLUSIVE for row in every):
        return "cannot be tested"
    if any(none_detectable(row, unit) for row in rows):
        return "may miss any change"
    if any(row.mde is not None and room_text(row, unit, row.mde) for row in rows):
        return "may miss any harm"
    sizes = [row.mde for row in rows if row.mde is not None]
    if not sizes:
        return ""
    return f"may miss < {show_value(max(sizes), unit).rstrip('%')}{unit_of_difference(unit)}"


def _chance_text(task: TaskView, metric: str) -> str:
    return f"chance {show_value(task.chance[metric], 'rate')}" if metric in task.chance else ""


def headline_cell(study: StudyView, arm: ArmView, column: Column) -> Cell:
    """Return an arm's cell in a column of the overview."""
    task = column.task
    contrast = study.contrast(arm.name, task.name, task.headline.name, column.group)
    if contrast is None and (arm.name, task.name) in study.compared:
        return Cell("unmeasured", 0, "by group only", "", "by group only", None, "")
    made = cell(contrast, task.headline.unit)
    if contrast is None or not made.interval:
        return made
    corrected = f"changed clearly on its own, but not after correction for {counted(study.comparisons, 'comparison')}"
    word = corrected if clear_alone(contrast) else made.word
    note = "; ".join(text for text in (no_evidence_of_bias(study, task), made.note) if text)
    return replace(made, interval=made.interval + as_ratio(study, contrast), word=word, note=note)


def cell(contrast: Contrast | None, unit: str) -> Cell:
    """Return a contrast as a cell that says so if it is not measured or undefined."""
    tone, depth = shade(contrast, unit)
    if contrast is None:
        return Cell(tone, depth, "not measured", "", verdict_text(None, unit), None, "")
    if contrast.difference is None:
        return Cell(tone, depth, "undefined", "", verdict_text(contrast, unit), None, contrast.reason or "")
    text = show_difference(contrast.difference, unit)
    if contrast.verdict == INCONCLUSIVE:  # counted and named once per task
        return Cell(tone, depth, text, "cannot be tested", "", contrast.difference, "")
    interval = interval_text(contrast, unit) or "no interval"
    note = contrast.caution or contrast.reason or ""
    return Cell(tone, depth, text, interval, verdict_text(contrast, unit), contrast.difference, note)


# ---- one task: all metrics --------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricRow:
    """One pooled metric: dense's value, and the arms' cells."""

    label: Label
    direction: str
    unit: str
    dense: str
    chance: str
    cells: tuple[Cell, ...]


def metric_rows(study: StudyView, task: TaskView) -> Iterator[MetricRow]:
    """Yield one row per metric over all items of a task, or per group for metrics without such a row."""
    for metric in study.metrics_of(task):
        for group in study.shown_groups(task, metric):
            row = metric_row(study, task, metric, group)
            yield row if group == ALL else replace(row, label=in_group(row.label, group))


def in_group(label: Label, group: str) -> Label:
    """Return a measure's label that names the group."""
    return label._replace(text=f"{label.text} ({group_text(group)})")


def metric_row(study: StudyView, task: TaskView, metric: str, group: str) -> MetricRow:
    unit = task.unit(metric)
    dense = study.estimate(DENSE, task.name, metric, group)
    return MetricRow(
        task.label(metric),
        DIRECTIONS[dense.better] if dense else "",
        unit_of_difference(unit).strip(),
        show_value(dense.value, unit) if dense else "not measured",
        _chance_text(task, metric) if group == ALL else "",
        tuple(cell(study.contrast(arm.name, task.name, metric, group), unit) for arm in study.others),
    )


@dataclass(frozen=True)
class NumberRow:
    """One contrast in full, as text. `note` holds its caution, why it is undefined, and the measurement noise."""

    metric: str
    arm: str
    dense: str
    value: str
    difference: str
    interval: str
    p: str
    flips: str
    n: str
    mde: str
    lead: str
    divergence: str
    word: str
    note: str


def number_rows(study: StudyView, task: TaskView) -> Iterator[NumberRow]:
    """Yield the contrasts of `metric_rows` in full."""
    for metric in study.metrics_of(task):
        for group in study.shown_groups(task, metric):
            for arm in study.others:
                contrast = study.contrast(arm.name, task.name, metric, group)
                if contrast is not None:
                    row = _number_row(study, task, contrast)
                    yield replace(row, note="; ".join(text for text in (row.note, arm.draw) if text))


def _number_row(study: StudyView, task: TaskView, contrast: Contrast) -> NumberRow:
    unit = task.unit(contrast.metric)
    pair = (DENSE, contrast.arm)
    dense, value = (study.estimate(arm, task.name, contrast.metric, contrast.group) for arm in pair)
    label = task.label(contrast.metric)
    metric = label if contrast.group == ALL else in_group(label, contrast.group)
    unscored = f" ({contrast.n_unscored} unscored)" if contrast.n_unscored else ""
    noise = "" if contrast.noise is None else f"measurement noise {show_band(contrast.noise, unit)}"
    return NumberRow(
        metric.text,
        contrast.arm,
        _with_range(contrast.dense, dense, unit),
        _with_range(contrast.value, value, unit),
        show_difference(contrast.difference, unit),
        interval_text(contrast, unit) or "none",
        show_p(judged_p(contrast)),
        changed_text(contrast),
        f"{contrast.n:,}{unscored}",
        detectable_text(contrast, unit),
        _lead(contrast),
        "" if contrast.options is None else f"{contrast.options.kl:.4f}",
        verdict_text(contrast, unit),
        "; ".join(text for text in (contrast.caution, contrast.reason, noise) if text),
    )


def detectable_text(contrast: Contrast, unit: str) -> str:
    """Return the smallest detectable difference; in words if a rate cannot move that far."""
    if contrast.mde is not None:
        return show_value(contrast.mde, unit).rstrip("%")
    return f"none could be detected with {counted(contrast.n, 'item')}" if none_detectable(contrast, unit) else ""


def _lead(contrast: Contrast) -> str:
    """Return the lead in nats of dense's choice, in dense and in the arm."""
    if contrast.options is None:
        return ""
    return f"{contrast.options.margin_dense:.3f} → {contrast.options.margin:.3f}".replace("-", MINUS)


def _with_range(value: float | None, estimate: Estimate | None, unit: str) -> str:
    """Return the paired value, with the estimate's interval if it covers the same items."""
    shown = show_value(value, unit)
    if estimate is None or estimate.value is None or estimate.value != value:
        return shown
    bounds = show_range(estimate.low, estimate.high, unit)
    return f"{shown} ({bounds})" if bounds else shown
