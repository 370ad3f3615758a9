"""Lines in which numbers stand in the wrong column: blocks that are too short, and a cell that was entered twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median, pstdev

from crushtest.data.published.xu2024.tables import Cell, Line

REALIGNED, MISALIGNED, LOST = "realigned", "misaligned", "lost"
CLEARLY = 3.0
"""How many times better the cells must fit."""
POOLED = "mean_"
"""How the columns of pooled numbers begin, which end every block of groups."""


def put_back_blocks(lines: Sequence[Line]) -> list[Line]:
    """Put back the pooled numbers of lines with a group too few, and empty their groups, which cannot be told.

    Every block of such a line is one cell shorter than the header's, so block k is shifted by k columns, and as many
    cells are left empty at its end as there are blocks.
    """
    return [_put_back(line) for line in lines]


def _put_back(line: Line) -> Line:
    blocks = list(_blocks(list(line.cells)))
    values = [cell.value for cell in line.cells.values()]
    short = len(blocks)
    if None in values[:-short] or values[-short:] != [None] * short:
        return line
    cells: dict[str, Cell] = {}
    start = 0
    for block in blocks:
        pooled = [column for column in block if column.startswith(POOLED)]
        end = start + len(block) - 1
        cells |= {column: Cell(None, (MISALIGNED,)) for column in block}
        pairs = zip(pooled, values[end - len(pooled) : end], strict=True)
        cells |= {column: Cell(value, (REALIGNED,)) for column, value in pairs}
        start = end
    return line.with_cells(cells)


def _blocks(columns: Sequence[str]) -> Iterator[list[str]]:
    """Yield the columns block by block: the groups of a metric, then its pooled numbers."""
    block: list[str] = []
    for column in columns:
        if block and block[-1].startswith(POOLED) and not column.startswith(POOLED):
            yield block
            block = []
        block.append(column)
    yield block


def put_back_doubled(lines: Sequence[Line]) -> list[Line]:
    """Put back the cells of a line in which one was entered twice, so that those after it moved one column on.

    A cell is doubled if it equals the one before it to all its digits and the cells from there on fit the other lines
    far better without it. As many cells moved as make them fit best; the next one was overwritten and is lost.
    """
    return [_without_double(line, [other for other in lines if other is not line]) for line in lines]


def _without_double(line: Line, others: Sequence[Line]) -> Line:
    columns, values = list(line.cells), [cell.value for cell in line.cells.values()]
    for at in range(1, len(columns) - 2):
        if values[at] is None or values[at] != values[at - 1]:
            continue
        usual = [_usual(column, others) for column in columns[at:]]
        tried = {moved: _without_first(values[at:], moved) for moved in range(2, len(columns) - at)}
        moved = min(tried, key=lambda number: misfit(tried[number], usual))
        if misfit(tried[moved], usual) < misfit(values[at:], usual) / CLEARLY:
            back = {columns[at + n]: Cell(value, (REALIGNED,)) for n, value in enumerate(tried[moved][:moved])}
            return line.with_cells({**back, columns[at + moved]: Cell(None, (LOST,))})
    return line


def _without_first(values: Sequence[float | None], moved: int) -> list[float | None]:
    """Return the values with the first taken out, the next `moved` in its place, and None for the one that is lost."""
    return [*values[1 : 1 + moved], None, *values[1 + moved :]]


def _usual(column: str, lines: Sequence[Line]) -> float:
    return median(value for line in lines if (value := line.value(column)) is not None)


def misfit(values: Sequence[float | None], usual: Sequence[float]) -> float:
    """Return how unevenly cells differ from the usual ones: the spread of the ratios."""
    return pstdev(value / other for value, other in zip(values, usual, strict=True) if value is not None)
