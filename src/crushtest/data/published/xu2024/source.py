"""All numbers of Xu et al. 2024 as points: every table through its rules, then what only the figures hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from crushtest.data.published.point import Point
from crushtest.data.published.xu2024.alignment import put_back_blocks, put_back_doubled
from crushtest.data.published.xu2024.bias_score import mark_bias_scores
from crushtest.data.published.xu2024.columns import column_of, tables
from crushtest.data.published.xu2024.doubts import mark_doubts, rules
from crushtest.data.published.xu2024.dropped import mark_dropped
from crushtest.data.published.xu2024.figures import drawn
from crushtest.data.published.xu2024.relabelling import relabel, spelled
from crushtest.data.published.xu2024.repeated import tell_apart
from crushtest.data.published.xu2024.tables import NAME, Line, read_lines

Mend = Callable[[Sequence[Line]], list[Line]]
MENDS: dict[str, tuple[Mend, ...]] = {
    "realtoxicityprompts": (mark_dropped, tell_apart, mark_doubts),
    "toxigen": (mark_dropped, tell_apart, mark_doubts),
    "advpromptset": (put_back_blocks, mark_dropped, tell_apart, mark_doubts),
    "bold": (mark_dropped, tell_apart, mark_doubts),
    "holistic_bias": (mark_dropped, tell_apart, mark_doubts),
    "bbq": (mark_bias_scores, tell_apart, mark_doubts),
    "unqover": (relabel, tell_apart, mark_doubts),
    "perplexity_results": (put_back_doubled, tell_apart, mark_doubts),
}
"""The rules that a table goes through, in this order."""


def read() -> list[Point]:
    """Return every number, with what is wrong with it. Raises DataError as `sources.find` does."""
    return [*(point for table in tables() for line in mended(table) for point in _points(line)), *_drawn_points()]


def mended(table: str) -> list[Line]:
    """Return the lines of a table after its rules."""
    lines = read_lines(table)
    for mend in MENDS[table]:
        lines = mend(lines)
    return lines


def _points(line: Line) -> Iterator[Point]:
    for name, cell in line.cells.items():
        column = column_of(line.table, name)
        subject = cell.subject or column.group_there.partition("/")[2]
        group = f"{column.category}={spelled(column.category, subject)}" if subject else column.group
        yield Point(
            source=NAME,
            model=line.model,
            arm=line.arm.recipe,
            task=column.task,
            metric=column.measure.metric,
            group=group,
            value=cell.value,
            unit=column.measure.unit,
            better=column.measure.better,
            compression_ratio=line.arm.compression_ratio,
            training=None,
            flags=cell.flags,
            reason=_reasons(cell.flags),
            comparable=_are_comparable(cell.flags),
            note=column.measure.note,
            table=line.table,
            line=line.number,
            metric_there=column.metric_there,
            group_there=column.group_there,
        )


def _drawn_points() -> Iterator[Point]:
    for number in drawn():
        column = column_of(number.table, number.column)
        yield Point(
            source=NAME,
            model=number.model,
            arm=number.recipe,
            task=column.task,
            metric=column.measure.metric,
            group=column.group,
            value=number.value,
            unit=column.measure.unit,
            better=column.measure.better,
            compression_ratio=number.compression_ratio,
            training=number.training,
            flags=number.flags,
            reason=_reasons(number.flags),
            comparable=_are_comparable(number.flags),
            note=column.measure.note,
            table=number.figure,
            line=None,
            metric_there=column.metric_there,
            group_there=column.group_there,
        )


def _are_comparable(flags: Sequence[str]) -> bool:
    return all(rules()[flag].comparable for flag in flags)


def _reasons(flags: Sequence[str]) -> str:
    return " ".join(rules()[flag].reason for flag in flags)
