"""The study in a terminal: a table, or plain lines in a pipe, a log file or under NO_COLOR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crushtest.errors import UnknownName
from crushtest.layout import fits, is_plain, print_lines, print_table_or_records
from crushtest.metrics import ALL
from crushtest.records import DENSE
from crushtest.report.against import comparisons, refusals, text_caution
from crushtest.report.answers import changed_answers, changed_text
from crushtest.report.arm_verdict import compares_text, size_text, verdicts
from crushtest.report.bounds import interval_text
from crushtest.report.claims import judged_p
from crushtest.report.corrected import difference_text, error_texts
from crushtest.report.drift import drift_text
from crushtest.report.formats import show_difference, show_p, show_range, show_value, unit_of_difference
from crushtest.report.headlines import unfit_notes
from crushtest.report.hidden_harm import hidden_text
from crushtest.report.page.matrix import Cell, Column, overview
from crushtest.report.room import room_notes
from crushtest.report.shading import shade, verdict_text
from crushtest.report.status import lead
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.task_view import TaskView
from crushtest.report.untested import untested
from crushtest.report.untrusted import name, visible
from crushtest.report.wording import DIRECTIONS, group_text
from crushtest.stats.hidden_harm import HIDDEN_HARM
from crushtest.study.folder import StudyFolder

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from crushtest.results import Contrast

STYLES = {"worse": "bold dark_orange3", "better": "bold dodger_blue2", "changed": "bold", "noise": "dim"}


def print_summary(folder: StudyFolder, console: Console) -> None:
    """Print the page's first sentence, then every variant in each headline: its change, interval and verdict.

    For a study of the dense model alone, print its values in these measures.
    """
    study = read_study(folder)
    if not study.others:
        _print_estimates(study, console)
        return
    every = verdicts(study)
    print_lines(console, [lead(study, every)])
    below = [
        *_hidden_lines(study),
        *against_lines(study),
        *map(visible, refusals(study)),
        *_caution_lines(study),
        *correction_lines(study),
        *_left_out(study),
    ]
    if is_plain(console) or not fits(table := _summary_table(study), console):
        print_lines(console, [*_summary_lines(study), *below])
        return
    console.print(table)
    print_lines(console, below)


def _summary_table(study: StudyView) -> Table:
    """Return the matrix of variants and headlines as a table."""
    from rich.table import Table
    from rich.text import Text

    matrix = overview(study)
    table = Table(title="Change against dense, with 95% intervals", title_justify="left", show_lines=True)
    table.add_column("variant", overflow="fold")
    for column in matrix.columns:
        unit = f", {column.unit}" if column.unit else ""
        chance = f"\n{column.chance}" if column.chance else ""
        heading = f"{column.label.text}{unit}\n{name(column.about)}\n{column.direction}{chance}"
        table.add_column(Text(heading), justify="right")
    table.add_column("changed answers\nlargest share of a headline", justify="right")
    for arm, cells, changed in matrix.rows:
        details = [text for text in (size_text(arm), compares_text(study, arm)) if text]
        first = Text(name(arm.name)).append("".join(f"\n{text}" for text in details), style="dim")
        texts = [Text(_cell_text(cell), style=STYLES.get(cell.tone, "dim")) for cell in cells]
        table.add_row(first, *texts, Text("\n".join((changed.text, *map(name, changed.detail)))))
    return table


def against_lines(study: StudyView) -> Iterator[str]:
    """Yield, for every variant compared with another one, what differs, its headlines, and the chain to dense."""
    for arm in study.others:
        for comparison in comparisons(study, arm):
            caution = f" Caution: {visible(comparison.caution)}." if comparison.caution else ""
            yield f"{name(arm.name)} compared with {name(comparison.against)}: {comparison.compares}{caution}"
            for finding in comparison.findings:
                yield f"  {finding.subject}: {visible(finding.text)}"
            yield from (f"  {visible(text)}" for text in comparison.undefined)
            for step in comparison.steps:
                cells = "; ".join(
                    f"{column.label.text} ({name(column.about)}) {_change_text(cell, column)}"
                    for column, cell in zip(comparison.columns, step.cells, strict=True)
                )
                yield f"  {step.effect} ({name(step.after)} against {name(step.before)}): {cells}"


def _hidden_lines(study: StudyView) -> Iterator[str]:
    """Yield the sentence on each variant that is shown to hide harm behind its quality."""
    for arm, each in study.hidden.items():
        if each.verdict == HIDDEN_HARM:
            yield f"{HIDDEN_HARM}, {name(arm)}: {visible(hidden_text(study, arm))}"


def _caution_lines(study: StudyView) -> Iterator[str]:
    """Yield what must be known of an arm as a whole: how otherwise it was run, and the words that accept it."""
    for arm in study.others:
        if text := text_caution(study, arm.name):
            yield f"caution, {name(arm.name)}: {visible(text)}"
        for task in study.tasks:
            if text := drift_text(study, arm.name, task.name):
                yield f"caution, {name(arm.name)}, {name(task.name)}: {text}"


def correction_lines(study: StudyView, *, task: str | None = None, arm: str | None = None) -> Iterator[str]:
    """Yield what people's labels make of the scorers' pooled differences, with each scorer's error in both arms."""
    for each in study.corrections:
        if task not in (None, each.task) or arm not in (None, each.arm) or each.group != ALL:
            continue
        label = study.task(each.task).label(each.metric).text
        errors = "; ".join(
            f"in {name(of)} counts {wrong} wrongly, misses {missed}" for of, wrong, missed in error_texts(each)
        )
        scorer = f"; {name(each.scorer)} {errors}" if errors else ""
        yield f"with people's labels, {name(each.arm)}, {label} ({name(each.task)}): {difference_text(each)}{scorer}"


def _left_out(study: StudyView) -> Iterator[str]:
    """Yield what the summary leaves out: measures that head nothing or have no room, comparisons without a test."""
    yield from unfit_notes(study)
    yield from room_notes(study)
    for task in study.tasks:
        if text := untested(study, task, study.others).short:
            yield f"{name(task.name)}: {text}"


def _print_estimates(study: StudyView, console: Console) -> None:
    """Print each task's headline for the dense model alone."""
    rows = [_estimate_texts(study, task, group) for task in study.headed for group in study.headline_groups(task)]
    if is_plain(console):
        print_lines(console, (" | ".join(texts) for texts in [ESTIMATE_COLUMNS, *rows]))
        return
    from rich.table import Table
    from rich.text import Text

    title = f"{name(study.title)}, dense"
    table = Table(*ESTIMATE_COLUMNS, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(Text, row))
    print_table_or_records(console, table, title, ESTIMATE_COLUMNS, rows)


ESTIMATE_COLUMNS = ("task", "measure", "group", "value", "95% interval", "n")


def _estimate_texts(study: StudyView, task: TaskView, group: str) -> tuple[str, ...]:
    metric, unit = task.headline, task.headline.unit
    row = (name(task.name), f"{task.label(metric.name).text} ({DIRECTIONS[metric.better]})", name(group_text(group)))
    dense = study.estimate(DENSE, task.name, metric.name, group)
    if dense is None:
        return (*row, "not measured", "", "")
    value = f"undefined: {name(dense.reason or '')}" if dense.value is None else show_value(dense.value, unit)
    unscored = f" ({dense.n_unscored} unscored)" if dense.n_unscored else ""
    return (*row, value, show_range(dense.low, dense.high, unit) or "none", f"{dense.n}{unscored}")


def print_contrasts(folder: StudyFolder, console: Console, task: str | None = None, *, against: str = DENSE) -> None:
    """Print all contrasts of one task, group by group, or the summary if no task is named. Raises UnknownName."""
    if task is None:
        print_summary(folder, console)
        return
    study = read_study(folder)
    view = next((each for each in study.tasks if each.name == task), None)
    if view is None:
        raise UnknownName("task", task, [each.name for each in study.tasks], where=f"{folder.root}")
    rows = [row for row in study.against(against).contrasts.values() if row.task == task]
    columns = tuple(name(against) if column == DENSE else column for column in COLUMNS)
    if is_plain(console):
        lines = (" | ".join(texts) for texts in [columns, *(_contrast_texts(view, row) for row in rows)])
        print_lines(console, [*lines, *_below_task(study, task, against)])
        return
    from rich.table import Table
    from rich.text import Text

    title = f"{task}: change against {name(against)}"
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        style = STYLES.get(shade(row, view.unit(row.metric)).tone, "dim")
        table.add_row(*(Text(text, style=style if place >= 5 else "") for place, text in
                        enumerate(_contrast_texts(view, row))))  # fmt: skip
    print_table_or_records(console, table, title, columns, [_contrast_texts(view, row) for row in rows])
    print_lines(console, _below_task(study, task, against))


def _below_task(study: StudyView, task: str, against: str) -> list[str]:
    return [*_draws(study), *(correction_lines(study, task=task) if against == DENSE else ())]


def _draws(study: StudyView) -> list[str]:
    return [visible(study.draws)] if study.draws else []


COLUMNS = (
    "measure",
    "group",
    "variant",
    "dense",
    "value",
    "difference",
    "95% interval",
    "p",
    "changed answers",
    "n",
    "verdict",
)


def _contrast_texts(task: TaskView, row: Contrast) -> tuple[str, ...]:
    """Return a row of `COLUMNS`; the verdict comes with the reason if it is undefined or inconclusive."""
    unit = task.unit(row.metric)
    verdict = verdict_text(row, unit)
    return (
        task.label(row.metric).text,
        name(group_text(row.worst or row.group)),
        name(row.arm),
        show_value(row.dense, unit),
        show_value(row.value, unit),
        f"{show_difference(row.difference, unit)}{unit_of_difference(unit)}" if row.difference is not None else "",
        interval_text(row, unit),
        show_p(judged_p(row)),
        changed_text(row),
        str(row.n),
        verdict if row.reason is None else f"{verdict}: {name(row.reason)}",
    )


def _summary_lines(study: StudyView) -> Iterator[str]:
    """Yield one line per variant, and one per headline under it."""
    matrix = overview(study)
    for arm, cells, _ in matrix.rows:
        yield f"{name(arm.name)} ({size_text(arm)}) {compares_text(study, arm)}".rstrip()
        for column, cell in zip(matrix.columns, cells, strict=True):
            row = study.contrast(arm.name, column.task.name, column.task.headline.name, column.group)
            answers = changed_answers(row, column.task) if row is not None else ""
            details = ", ".join(text for text in (name(column.about), column.direction, column.chance) if text)
            yield f"  {column.label.text} ({details}): {_change_text(cell, column)}{f'; {answers}' if answers else ''}"


def _change_text(cell: Cell, column: Column) -> str:
    """Return the change, its interval and its verdict: `↑ +4.1 points (+1.0 to +7.2), worse`."""
    if not cell.interval:
        return cell.word
    unit = f" {column.unit}" if column.unit else ""
    return f"{_arrow(cell)}{cell.text}{unit} ({cell.interval}){f', {cell.word}' if cell.word else ''}"


def _cell_text(cell: Cell) -> str:
    if not cell.interval:
        return cell.text
    return f"{_arrow(cell)}{cell.text}\n{cell.interval}\n{cell.word}".rstrip()


def _arrow(cell: Cell) -> str:
    if not cell.sort or cell.tone not in ("worse", "better", "changed"):
        return ""
    return "↑ " if cell.sort > 0 else "↓ "
