"""Groups side by side: one metric over all groups of one attribute, and what they amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from crushtest.records import DENSE
from crushtest.report.formats import show_p
from crushtest.report.page.matrix import Cell, MetricRow, cell, metric_row
from crushtest.report.shading import CLEAR, Tone, is_clear
from crushtest.report.study_view import StudyView, TaskView, ordered_groups
from crushtest.report.wording import Label, attribute_of, base_metric, group_text, listed, value_of
from crushtest.results import Contrast
from crushtest.stats.verdicts import ALPHA

MOST_NAMES = 6
MOST_CELLS = 20_000
"""A study with more cells than this shows the groups of its headlines only."""


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
        row = metric_row(study, task, gap, attribute)
        yield "Gap, largest minus smallest", row.dense, row.cells


def _evenness(row: Contrast | None) -> Cell:
    """The test of "the effect is the same for all groups" as a cell."""
    if row is None or row.spread is None:
        return Cell("unmeasured", 0, "not tested", "", "not tested", None, "")
    uneven = row.spread.p <= ALPHA
    tone: Tone = "changed" if uneven else "noise"
    return Cell(tone, 1 if uneven else 0, "no" if uneven else "not clear", f"p {show_p(row.spread.p)}", "", None, "")


def _who(study: StudyView, task: TaskView, metric: str, groups: list[str]) -> str:
    """Which groups lost and which gained, in any arm."""
    found: dict[str, dict[str, None]] = {"worse": {}, "better": {}, "changed": {}}
    for group in groups:
        for arm in study.others:
            contrast = study.contrast(arm.name, task.name, metric, group)
            if contrast is not None and is_clear(contrast):
                found[CLEAR[contrast.verdict]][value_of(group)] = None
    parts = [
        f"Clearly {word} in at least one variant: {_named(list(names), len(groups))}."
        for word, names in found.items()
        if names
    ]
    return " ".join(parts) or "No group changed clearly in any variant."


def _named(names: list[str], groups: int) -> str:
    """A few groups by name, many by their number."""
    if len(names) <= MOST_NAMES:
        return listed(names)
    return f"all {groups} groups" if len(names) == groups else f"{len(names)} of {groups} groups"
