"""Measure how far each part at each option moves each task from dense, one at a time, on items of the search half."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crushtest.compress.parts import Part, compressed_part
from crushtest.compress.recipes import Recipe
from crushtest.pipeline.search.gauge import Gauge, Opened
from crushtest.pipeline.search.ladder import too_small
from crushtest.progress import Progress
from crushtest.stats.ratio_error import RatioError
from crushtest.study.plan import PlannedTask
from crushtest.study.searched import Cell, SearchFolder

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens


SLIGHT = 0.02
"""Change of a part's weights, as a share of them, below which fewer items are measured.

Divergence grows with its square. 8 bits change weights by less than 1%, and 4 bits by some 10%: the sums at 8 bits are
0.4% of those at 4 bits, so that no error of theirs moves a mix.
"""


ROUGHLY = 0.02
"""Part by which parts of one shape may differ in what they take at one option, where zeros decide it."""


def cell_id(part: str, option: str, task: str) -> str:
    """Return the name of a cell.

    >>> cell_id("layers.3", "rtn:bits=4", "probe_facts")
    'layers.3 at rtn:bits=4 in probe_facts'
    """
    return f"{part} at {option} in {task}"


def cell_of(part: Part, option: Recipe, planned: PlannedTask, found: RatioError, bits: int) -> Cell:
    """Return the cell of a part, an option and a task, whose divergence was found."""
    return Cell(
        part=part.name,
        block=part.block,
        option=option.text,
        task=planned.name,
        dimension=planned.dimension,
        divergence=found.value,
        error=found.error,
        items=found.items,
        clusters=found.clusters,
        stored_bits=bits,
    )


def measure_cells(
    gauge: Gauge, folder: SearchFolder, options: Sequence[Recipe], calibration: CalibrationTokens, progress: Progress
) -> None:
    """Measure every cell that the folder lacks, block after block; each is safe once it is measured."""
    log, order = folder.sensitivity, cells_of(gauge, gauge.parts, options)
    present = log.read(order).keys()
    last = max(part.block for part in gauge.parts)
    with progress.step("sensitivity", len(order), done=len(present), kind="sensitivity") as advance:
        for number in range(last + 1):
            for part in (part for part in gauge.parts if part.block == number):
                for option in options:
                    for key, cell in _measured(gauge, part, option, calibration, present):
                        log.append(key, cell)
                        advance(1)
            above = [part for part in gauge.parts if part.block > number]
            if set(cells_of(gauge, above, options)) <= present:
                break
            gauge.advance()
    log.finish(order)


def check_target(
    opened: Opened, options: Sequence[Recipe], calibration: CalibrationTokens, target: float | None
) -> None:
    """Raise UsageError, before anything is measured, if no mix of the options is as small as the target.

    What the first part of each shape takes stands for all of that shape, so a target that is missed by little passes.
    """
    if target is None:
        return
    least: dict[tuple[Any, ...], int] = {}
    for part in opened.parts:
        if (shapes := _shapes(part)) not in least:
            least[shapes] = min(part.dense_bits, *(_bits(opened, part, option, calibration) for option in options))
    smallest = sum(least[_shapes(part)] for part in opened.parts) / sum(part.dense_bits for part in opened.parts)
    if smallest > (1 + ROUGHLY) * target:
        raise too_small(target, smallest)


def _shapes(part: Part) -> tuple[Any, ...]:
    return tuple(linear.weight.shape for linear in part.linears)


def _bits(opened: Opened, part: Part, option: Recipe, calibration: CalibrationTokens) -> int:
    with compressed_part(opened.model, opened.structure, part, option.steps[0], calibration) as made:
        return made.bits


def cells_of(gauge: Gauge, parts: Sequence[Part], options: Sequence[Recipe]) -> list[str]:
    """Return the names of the cells of these parts, in the order of the table."""
    return [
        cell_id(part.name, option.text, planned.name)
        for part in parts
        for option in options
        for planned in gauge.planned
    ]


def _measured(
    gauge: Gauge, part: Part, option: Recipe, calibration: CalibrationTokens, present: Container[str]
) -> Iterator[tuple[str, Cell]]:
    missing = [planned for planned in gauge.planned if cell_id(part.name, option.text, planned.name) not in present]
    if not missing:
        return
    with compressed_part(gauge.opened.model, gauge.opened.structure, part, option.steps[0], calibration) as made:
        for planned in missing:
            found = gauge.measure_slight(planned) if made.change < SLIGHT else gauge.measure(planned)
            yield cell_id(part.name, option.text, planned.name), cell_of(part, option, planned, found, made.bits)
