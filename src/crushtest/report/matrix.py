"""Contrasts laid out in rows and columns, for the page's matrices and tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from crushtest.records import Contrast, Estimate
from crushtest.report.formats import (
    MINUS,
    show_difference,
    show_interval,
    show_p,
    show_range,
    show_value,
    unit_of_difference,
)
from crushtest.report.gather import ArmView, StudyView, TaskView, ordered_groups
from crushtest.report.shading import CLEAR, Tone, is_clear, said, shade
from crushtest.report.verdict import anchor
from crushtest.report.words import (
    ALL,
    DIRECTIONS,
    Label,
    attribute_of,
    base_metric,
    group_text,
    label,
    listed,
    value_of,
)
from crushtest.stats.verdicts import ALPHA

MOST_CELLS = 20_000


@dataclass(frozen=True)
class Cell:
    """One contrast as a table cell. `sort` is its difference; `note` what must be known before trusting it."""

    tone: Tone
    depth: int
    text: str
    interval: str
    word: str
    sort: float | None
    note: str


@dataclass(frozen=True)
class Column:
    """A headline measure of the overview."""

    task: TaskView
    label: Label
    direction: str
    unit: str
    anchor: str


@dataclass(frozen=True)
class Overview:
    """Arms by headline measures; columns come by dimension."""

    dimensions: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[ArmView, tuple[Cell, ...]], ...]


def overview(study: StudyView) -> Overview:
    """The matrix of all arms and all tasks' headlines."""
    tasks = [task for found in study.dimensions.values() for task in found]
    columns = tuple(
        Column(
            task,
            label(task.headline.name),
            DIRECTIONS[task.headline.better],
            unit_of_difference(task.headline.unit).strip(),
            anchor(task),
        )
        for task in tasks
    )
    rows = tuple(
        (
            arm,
            tuple(cell(study.contrast(arm.name, task.name, task.headline.name), task.headline.unit) for task in tasks),
        )
        for arm in study.others
    )
    return Overview(tuple((name, len(found)) for name, found in study.dimensions.items()), columns, rows)


def cell(contrast: Contrast | None, unit: str) -> Cell:
    """A contrast as a cell; what is not measured or undefined says so."""
    tone, depth = shade(contrast, unit)
    if contrast is None:
        return Cell(tone, depth, "not measured", "", said(None), None, "")
    if contrast.difference is None:
        return Cell(tone, depth, "undefined", "", said(contrast), None, contrast.reason or "")
    interval = show_interval(contrast.low, contrast.high, unit) or "no interval"
    note = contrast.caution or contrast.reason or ""
    text = show_difference(contrast.difference, unit)
    return Cell(tone, depth, text, interval, said(contrast), contrast.difference, note)


# ---- one task: all metrics --------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricRow:
    """One pooled metric: what dense has, and the arms' cells."""

    label: Label
    direction: str
    unit: str
    dense: str
    cells: tuple[Cell, ...]


def metric_rows(study: StudyView, task: TaskView) -> Iterator[MetricRow]:
    """Every metric of a task over all its items, one row each."""
    for metric in study.metrics_of(task):
        if ALL in study.rows_of[task.name, metric]:
            yield _metric_row(study, task, metric, ALL)


def _metric_row(study: StudyView, task: TaskView, metric: str, group: str) -> MetricRow:
    unit = task.unit(metric)
    dense = study.estimate("dense", task.name, metric, group)
    return MetricRow(
        label(metric),
        DIRECTIONS[dense.better] if dense else "",
        unit_of_difference(unit).strip(),
        _dense_text(dense, unit),
        tuple(cell(study.contrast(arm.name, task.name, metric, group), unit) for arm in study.others),
    )


def _dense_text(estimate: Estimate | None, unit: str) -> str:
    return show_value(estimate.value, unit) if estimate else "not measured"


@dataclass(frozen=True)
class NumberRow:
    """One contrast with everything that is known of it, as text."""

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
    """Every pooled contrast of a task, in full."""
    for metric in study.metrics_of(task):
        for arm in study.others:
            contrast = study.contrast(arm.name, task.name, metric)
            if contrast is not None:
                yield _number_row(study, task, contrast)


def _number_row(study: StudyView, task: TaskView, contrast: Contrast) -> NumberRow:
    unit = task.unit(contrast.metric)
    dense, value = (study.estimate(arm, task.name, contrast.metric) for arm in ("dense", contrast.arm))
    flips = "" if contrast.flips is None else f"{contrast.flips}"
    if contrast.flips_up is not None and contrast.flips_down is not None:
        flips += f" (+{contrast.flips_up} −{contrast.flips_down})"
    unscored = f" ({contrast.n_unscored} unscored)" if contrast.n_unscored else ""
    mde = "" if contrast.mde is None else show_value(contrast.mde, unit).rstrip("%")
    return NumberRow(
        label(contrast.metric).text,
        contrast.arm,
        _with_range(contrast.dense, dense, unit),
        _with_range(contrast.value, value, unit),
        show_difference(contrast.difference, unit),
        show_interval(contrast.low, contrast.high, unit) or "none",
        show_p(contrast.p_adjusted if contrast.p_adjusted is not None else contrast.p),
        flips,
        f"{contrast.n:,}{unscored}",
        mde,
        _lead(contrast),
        "" if contrast.kl is None else f"{contrast.kl:.4f}",
        said(contrast),
        _note(contrast, unit),
    )


def _note(contrast: Contrast, unit: str) -> str:
    """Its caution, why it is undefined, and the band that measuring dense again gave."""
    noise = "" if contrast.noise is None else f"noise of measuring ±{show_value(contrast.noise, unit).rstrip('%')}"
    return "; ".join(text for text in (contrast.caution, contrast.reason, noise) if text)


def _lead(contrast: Contrast) -> str:
    """How far dense's choice led in dense, and leads in the arm, in nats."""
    if contrast.margin_dense is None or contrast.margin is None:
        return ""
    return f"{contrast.margin_dense:.3f} → {contrast.margin:.3f}".replace("-", MINUS)


def _with_range(value: float | None, estimate: Estimate | None, unit: str) -> str:
    """The paired value, with the interval of the estimate where that is of the same items."""
    shown = show_value(value, unit)
    if estimate is None or estimate.value is None or estimate.value != value:
        return shown
    bounds = show_range(estimate.low, estimate.high, unit)
    return f"{shown} ({bounds})" if bounds else shown


# ---- groups -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupTable:
    """One metric over all groups of one attribute: rows (group, dense, items, cells), and who gained or lost.

    interest  the table with the largest one is shown first
    foot   what the groups amount to, rows (name, dense, cells): the worst group, the gap, whether all fare alike
    """

    key: str
    task: TaskView
    label: Label
    direction: str
    unit: str
    attribute: str
    rows: tuple[tuple[str, str, int, tuple[Cell, ...]], ...]
    foot: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    summary: str
    interest: int


def group_tables(study: StudyView) -> tuple[tuple[GroupTable, ...], bool]:
    """All tables of groups, and whether these are all: a very large study shows its headlines' groups only."""
    wanted = [
        (task, metric, attribute, groups)
        for tasks in study.dimensions.values()
        for task in tasks
        for metric in study.metrics_of(task)
        if metric == base_metric(metric)
        for attribute, groups in _attributes(ordered_groups(study, task, metric)).items()
    ]
    cells = sum(len(groups) for *_, groups in wanted) * len(study.others)
    complete = cells <= MOST_CELLS
    if not complete:
        wanted = [entry for entry in wanted if entry[1] == entry[0].headline.name]
    tables = tuple(
        _group_table(study, f"g{number}", task, metric, attribute, groups)
        for number, (task, metric, attribute, groups) in enumerate(wanted)
    )
    return tables, complete


def _attributes(groups: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        found[attribute_of(group)].append(group)
    return found


def _group_table(
    study: StudyView, key: str, task: TaskView, metric: str, attribute: str, groups: list[str]
) -> GroupTable:
    rows = [_metric_row(study, task, metric, group) for group in groups]
    counts = [study.estimate("dense", task.name, metric, group) for group in groups]
    first = rows[0]
    return GroupTable(
        key,
        task,
        first.label,
        first.direction,
        first.unit,
        group_text(attribute) if attribute else "all items",
        tuple(
            (value_of(group), row.dense, count.n if count else 0, row.cells)
            for group, row, count in zip(groups, rows, counts, strict=True)
        ),
        tuple(_foot(study, task, metric, attribute)),
        _who(study, task, metric, groups),
        _interest(task, metric, rows),
    )


def _interest(task: TaskView, metric: str, rows: list[MetricRow]) -> int:
    """Which table to open first: clear differences between at least two groups, then a headline, then many groups."""
    compared = sum(any(found.sort is not None for found in row.cells) for row in rows)
    clear = sum(found.tone in CLEAR for row in rows for found in row.cells)
    return (1000 * clear if compared > 1 else 0) + 100 * (metric == task.headline.name) + min(compared, 99)


def _foot(study: StudyView, task: TaskView, metric: str, attribute: str) -> Iterator[tuple[str, str, tuple[Cell, ...]]]:
    """The rows below the groups, of those that the study has."""
    unit = task.unit(metric)
    worst = [study.contrast(arm.name, task.name, f"{metric}_worst", attribute) for arm in study.others]
    if any(worst):
        cells = [
            replace(found, text=f"{value_of(row.worst)}: {found.text}") if row and row.worst else found
            for row, found in ((row, cell(row, unit)) for row in worst)
        ]
        yield "Worst group, the interval pays for the search", "", tuple(cells)
        yield "Same change in all groups?", "", tuple(_evenness(row) for row in worst)
    gap = f"{metric}_gap"
    if attribute in study.rows_of.get((task.name, gap), []):
        row = _metric_row(study, task, gap, attribute)
        yield "Gap, largest minus smallest", row.dense, row.cells


def _evenness(row: Contrast | None) -> Cell:
    """The test of "the effect is the same for all groups" as a cell."""
    if row is None or row.spread_p is None:
        return Cell("unmeasured", 0, "not tested", "", "not tested", None, "")
    uneven = row.spread_p <= ALPHA
    tone: Tone = "changed" if uneven else "noise"
    return Cell(tone, 1 if uneven else 0, "no" if uneven else "not clear", f"p {show_p(row.spread_p)}", "", None, "")


def _who(study: StudyView, task: TaskView, metric: str, groups: list[str]) -> str:
    """Which groups lost and which gained, in any arm."""
    found: dict[str, dict[str, None]] = {"worse": {}, "better": {}, "changed": {}}
    for group in groups:
        for arm in study.others:
            contrast = study.contrast(arm.name, task.name, metric, group)
            if contrast is not None and is_clear(contrast):
                found[contrast.verdict][value_of(group)] = None
    parts = [
        f"Clearly {word} in at least one variant: {listed(list(names))}." for word, names in found.items() if names
    ]
    return " ".join(parts) or "No group changed clearly in any variant."
