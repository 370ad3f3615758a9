"""Estimate how far each part at each option moves each task from dense, from one backward pass per item."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from crushtest.compress.layers.collect import gradients_of
from crushtest.compress.parts import Part, compressed_part
from crushtest.compress.recipes import Recipe
from crushtest.errors import EngineError
from crushtest.pipeline.search.gauge import Opened, requests_of
from crushtest.pipeline.search.sensitivity import cell_id, cell_of
from crushtest.progress import Progress
from crushtest.records import Item
from crushtest.stats.ratio_error import RatioError
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.searched import Cell, SearchFolder

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.compress.kernels.statistics import WeightGradient
    from crushtest.engines.packing import Line


class _Gradients(NamedTuple):
    """The gradients of a task's items by layer, their squares added up, and how much they are of.

    weight   1 per question, or per predicted token
    """

    of_layer: Mapping[str, WeightGradient]
    weight: int
    items: int
    clusters: int


@dataclass(frozen=True)
class Sample:
    """The items that cells are about, and the study in which dense has answered them."""

    study: StudyFolder
    plan: Plan
    items: Mapping[str, Sequence[Item]]


def estimate_cells(
    opened: Opened,
    sample: Sample,
    folder: SearchFolder,
    options: Sequence[Recipe],
    calibration: CalibrationTokens,
    progress: Progress,
) -> None:
    """Estimate every cell that the folder lacks, task after task; each is safe once it is estimated.

    A cell is half the sum of squared gradients times squared changes of weights: KL to second order, with the diagonal
    of the Fisher information alone. It takes 4 bytes per weight beside the model, and has no standard error.

    Raises EngineError if dense's answers leave nothing to compare in any task.
    """
    lines = {planned.name: _lines(opened, sample, planned) for planned in sample.plan.tasks}
    planned_tasks = [planned for planned in sample.plan.tasks if any(lines[planned.name])]
    if not planned_tasks:
        raise EngineError("sensitivity: the dense model's answers leave nothing to compare in any task")
    log = folder.sensitivity
    order = [
        cell_id(part.name, option.text, planned.name)
        for part in opened.parts
        for option in options
        for planned in planned_tasks
    ]
    present = log.read(order).keys()
    with progress.step("gradient scores", len(order), done=len(present), kind="sensitivity") as advance:
        for planned in planned_tasks:
            own = [(part, option) for part in opened.parts for option in options]
            if all(cell_id(part.name, option.text, planned.name) in present for part, option in own):
                continue
            gradients = _gradients(opened, sample, planned, lines[planned.name])
            for key, cell in _estimated(opened, planned, gradients, own, calibration, present):
                log.append(key, cell)
                advance(1)
    log.finish(order)


def _lines(opened: Opened, sample: Sample, planned: PlannedTask) -> list[list[Line]]:
    from crushtest.engines.hf.block_divergence import lines_of

    return lines_of(opened.runs, *requests_of(sample.study, planned, sample.items[planned.name]))


def _gradients(opened: Opened, sample: Sample, planned: PlannedTask, groups: Sequence[Sequence[Line]]) -> _Gradients:
    import torch

    from crushtest.engines.hf.drawn_scores import drawn_scores

    weights: list[int] = []

    def losses() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(sample.plan.seed)
        network = opened.model.network
        for drawn in drawn_scores(network, groups, over_options=planned.task.kind == "choices", generator=generator):
            weights.append(drawn.weight)
            yield drawn.logprob

    linears = [linear for part in opened.parts for linear in part.linears]
    of_layer = gradients_of(linears, losses(), "l2")
    asked = [item.unit for item, lines in zip(sample.items[planned.name], groups, strict=True) if lines]
    return _Gradients(of_layer, sum(weights), len(asked), len(set(asked)))


def _estimated(
    opened: Opened,
    planned: PlannedTask,
    gradients: _Gradients,
    cells: Sequence[tuple[Part, Recipe]],
    calibration: CalibrationTokens,
    present: Container[str],
) -> Iterator[tuple[str, Cell]]:
    for part, option in cells:
        key = cell_id(part.name, option.text, planned.name)
        if key in present:
            continue
        before = [linear.weight.float().clone() for linear in part.linears]
        total = 0.0
        with compressed_part(opened.model, opened.structure, part, option.steps[0], calibration) as made:
            for linear, dense in zip(part.linears, before, strict=True):
                change = linear.weight.float() - dense
                total += float((gradients.of_layer[linear.name].size * change).square().sum())
        found = RatioError(total / 2 / gradients.weight, None, gradients.items, gradients.clusters)
        yield key, cell_of(part, option, planned, found, made.bits)
