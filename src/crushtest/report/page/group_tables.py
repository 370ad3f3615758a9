"""Groups side by side: one metric over all groups of one attribute, and what they amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from crushtest.records import DENSE
from crushtest.report.formats import show_p
from crushtest.report.page.matrix import Cell, MetricRow, cell, metric_row
from crushtest.report.page.table_notes import TableNotes, row_notes
from crushtest.report.shading import CLEAR, Tone, is_clear
from crushtest.report.study_view import StudyView, ordered_groups
from crushtest.report.task_view import TaskView
from crushtest.report.wording import Label, attribute_of, base_metric, group_text, listed, value_of
from crushtest.results import Contrast
from crushtest.stats.verdicts import ALPHA

MOST_NAMES = 6
MOST_CELLS = 20_000
"""A study with more cells than this shows the groups of its headlines only."""


@dataclass(frozen=True)
class GroupTable:
    """One metric over all groups of one attribute: rows (group, dense, items, cells), and who gained or lost.

    interest  the table with the largest interest is shown first
    footer    rows (name, dense, cells) that sum the groups up: the worst group, the gap, whether all changed alike
    """

    key: str
    task: TaskView
    label: Label
    direction: str
    unit: str
    attribute: str
    rows: tuple[tuple[str, str, int, tuple[Cell, ...]], ...]
    footer: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    summary: str
    interest: int

    @cached_property
    def notes(self) -> TableNotes:
        """The cautions of the rows, then of the footer."""
        return row_notes([*(row[3] for row in self.rows), *(row[2] for row in self.footer)])


def group_tables(study: StudyView) -> tuple[tuple[GroupTable, ...], bool]:
    """Return the tables of groups, and whether they are complete: a large study shows its headlines' groups only."""
    entries = [
        (task, metric, attribute, groups)
        for tasks in study.dimensions.values()
        for task in tasks
        for metric in study.metrics_of(task)
        if metric == base_metric(metric)
        for attribute, groups in _attributes(ordered_groups(study, task, metric)).items()
    ]
    cells = sum(len(groups) for *_, groups in entries) * len(study.others)
    complete = cells <= MOST_CELLS
    if not complete:
        entries = [entry for entry in entries if entry[1] == entry[0].headline.name]
    tables = tuple(
        _group_table(study, f"g{number}", task, metric, attribute, groups)
        for number, (task, metric, attribute, groups) in enumerate(entries)
    )
    return tables, complete


def _attributes(groups: Sequence[str]) -> dict[str, list[str]]:
    by_attribute: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        by_attribute[attribute_of(group)].append(group)
    return by_attribute


def _group_table(
    study: StudyView, key: str, task: TaskView, metric: str, attribute: str, groups: list[str]
) -> GroupTable:
    rows = [metric_row(study, task, metric, group) for group in groups]
    counts = [study.estimate(DENSE, task.name, metric, group) for group in groups]
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
        tuple(_footer(study, task, metric, attribute)),
        _changed_groups(study, task, metric, groups),
        _interest(task, metric, rows),
    )


def _interest(task: TaskView, metric: str, rows: list[MetricRow]) -> int:
    """Rank a table for opening: clear differences between two groups or more, then headlines, then many groups."""
    compared = sum(any(each.sort is not None for each in row.cells) for row in rows)
    clear = sum(each.tone in CLEAR for row in rows for each in row.cells)
    return (1000 * clear if compared > 1 else 0) + 100 * (metric == task.headline.name) + min(compared, 99)


def _footer(
    study: StudyView, task: TaskView, metric: str, attribute: str
) -> Iterator[tuple[str, str, tuple[Cell, ...]]]:
    """Yield the rows below the groups that the study has: worst group, test of evenness, gap."""
    unit = task.unit(metric)
    worst = [study.contrast(arm.name, task.name, f"{metric}_worst", attribute) for arm in study.others]
    if any(worst):
        cells = [
            replace(plain, text=f"{value_of(row.worst)}: {plain.text}") if row and row.worst else plain
            for row, plain in ((row, cell(row, unit)) for row in worst)
        ]
        yield "Worst group (interval accounts for the search)", "", tuple(cells)
        yield "Same change in all groups?", "", tuple(_evenness(row) for row in worst)
    gap = f"{metric}_gap"
    if attribute in study.rows_of.get((task.name, gap), []):
        row = metric_row(study, task, gap, attribute)
        yield "Gap, largest minus smallest", row.dense, row.cells


def _evenness(row: Contrast | None) -> Cell:
    """Return the test of "the effect is the same for all groups" as a cell."""
    if row is None or row.spread is None:
        return Cell("unmeasured", 0, "not tested", "", "not tested", None, "")
    uneven = row.spread.p <= ALPHA
    tone: Tone = "changed" if uneven else "noise"
    return Cell(tone, 1 if uneven else 0, "no" if uneven else "not clear", f"p {show_p(row.spread.p)}", "", None, "")


def _changed_groups(study: StudyView, task: TaskView, metric: str, groups: list[str]) -> str:
    """Say which groups got worse, better or changed in any arm."""
    names_by_tone: dict[str, dict[str, None]] = {"worse": {}, "better": {}, "changed": {}}
    early = False
    for group in groups:
        for arm in study.others:
            contrast = study.contrast(arm.name, task.name, metric, group)
            early = early or (contrast is not None and contrast.look is not None)
            if contrast is not None and is_clear(contrast):
                names_by_tone[CLEAR[contrast.verdict]][value_of(group)] = None
    parts = [
        f"Clearly {word} in at least one variant: {_named(list(names), len(groups))}."
        for word, names in names_by_tone.items()
        if names
    ]
    return " ".join(parts) or f"No group changed clearly in any variant{' that did not stop early' if early else ''}."


def _named(names: list[str], groups: int) -> str:
    """Name a few groups; count many."""
    if len(names) <= MOST_NAMES:
        return listed(names)
    return f"all {groups} groups" if len(names) == groups else f"{len(names)} of {groups} groups"
