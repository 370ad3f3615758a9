"""Measure how far each part at each option moves each task from dense, one at a time, on items of the search half."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any

from crushtest.compress.parts import Part, compressed_part, parts_of
from crushtest.compress.prepare import load_base
from crushtest.compress.recipes import Recipe
from crushtest.errors import EngineError
from crushtest.pipeline.search.request import SearchRequest
from crushtest.progress import Progress
from crushtest.records import DENSE, Completion, Item, Prompt
from crushtest.stats.ratio_error import RatioError, ratio_error
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.searched import Cell, SearchFolder
from crushtest.tasks.shared.conversations import with_history

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.compress.layers.structure import Structure
    from crushtest.engines.hf.block_divergence import BlockDivergence
    from crushtest.models.load import LoadedModel


def cell_id(part: str, option: str, task: str) -> str:
    """Return the name of a cell.

    >>> cell_id("layers.3", "rtn:bits=4", "probe_facts")
    'layers.3 at rtn:bits=4 in probe_facts'
    """
    return f"{part} at {option} in {task}"


@dataclass(frozen=True)
class Gauge:
    """A dense model in memory, and what measures changes of its blocks, task by task.

    planned  the tasks in which there is something to compare
    items    the items that are measured, by task
    """

    model: LoadedModel
    structure: Structure
    parts: tuple[Part, ...]
    planned: tuple[PlannedTask, ...]
    items: Mapping[str, Sequence[Item]]
    tasks: Mapping[str, BlockDivergence]

    def measure(self, planned: PlannedTask) -> RatioError:
        """Return the divergence of a task under the weights of now, with its error."""
        found = self.tasks[planned.name].divergence()
        clusters = [item.cluster for item in self.items[planned.name]]
        measured = ratio_error(found.total, found.weight, clusters)
        assert measured is not None
        return measured

    def advance(self) -> None:
        """Go one block up in every task. The model must be dense."""
        for task in self.tasks.values():
            task.advance()


def spread_over_clusters(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Return `count` items drawn at random, in their own order, of as many clusters as there are; all if fewer."""
    chance = random.Random(f"sensitivity, {seed}")
    by_cluster: dict[str, list[Item]] = {}
    for item in chance.sample(items, len(items)):
        by_cluster.setdefault(item.cluster, []).append(item)
    rounds = chain.from_iterable(zip_longest(*by_cluster.values()))
    chosen = {item.id for item in islice((item for item in rounds if item is not None), count)}
    return [item for item in items if item.id in chosen]


def open_gauge(request: SearchRequest, folder: SearchFolder, plan: Plan, progress: Progress) -> Gauge:
    """Return the model, loaded, and its measures on a sample of the search half, which dense has answered."""
    import torch

    from crushtest.compress.layers.activations import probe
    from crushtest.compress.layers.offload import InPlace
    from crushtest.compress.layers.structure import find_structure
    from crushtest.engines import load_engine
    from crushtest.engines.hf.block_divergence import block_divergence

    dense = plan.dense
    model = load_base(dense.model_options, dense.model, "sensitivity", progress)
    engine: Any = load_engine(model, engine=dense.engine, **dense.engine_options)
    structure = find_structure(model.network)
    ids = torch.zeros(1, 8, dtype=torch.long, device=model.network.device)
    with torch.no_grad():
        extras = probe(model.network, structure.blocks, ids, InPlace(model.network))
    items = {planned.name: folder.screen.read_items(planned.name) for planned in plan.tasks}
    chosen = {task: spread_over_clusters(asked, request.items, plan.seed) for task, asked in items.items()}
    tasks: dict[str, BlockDivergence] = {}
    with progress.step("sensitivity · dense", len(plan.tasks)) as advance:
        for planned in plan.tasks:
            asked, written = _requests(folder, planned, items[planned.name], chosen[planned.name])
            measure = block_divergence(engine.model, asked, written, structure.blocks, extras)
            if measure.compares_anything:
                tasks[planned.name] = measure
            else:
                progress.say(f"{planned.name}: dense wrote nothing, so the mixes are chosen without this task")
            advance(1)
    if not tasks:
        raise EngineError("sensitivity: the dense model's answers leave nothing to compare in any task")
    measured = tuple(planned for planned in plan.tasks if planned.name in tasks)
    return Gauge(model, structure, parts_of(structure, request.grain), measured, chosen, tasks)


def _requests(
    folder: SearchFolder, planned: PlannedTask, items: Sequence[Item], chosen: Sequence[Item]
) -> tuple[list[Any], list[Completion | None]]:
    """Return the requests, and what dense wrote to those that are prompts."""
    answers = folder.screen.answers(DENSE, planned.name, planned.task.kind).read([item.id for item in items])
    by_id = {item.id: item for item in items}
    written = [answer if isinstance(answer := answers[item.id], Completion) else None for item in chosen]
    turns = [with_history(item, by_id, answers) if isinstance(item.request, Prompt) else item for item in chosen]
    return [item.request for item in turns], written


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


def cells_of(gauge: Gauge, parts: Sequence[Part], options: Sequence[Recipe]) -> list[str]:
    """Return the names of the cells of these parts, in the order of the table."""
    return [
        cell_id(part.name, option.text, planned.name)
        for part in parts
        for option in options
        for planned in gauge.planned
    ]


def _measured(
    gauge: Gauge, part: Part, option: Recipe, calibration: CalibrationTokens, present: Any
) -> Iterator[tuple[str, Cell]]:
    missing = [planned for planned in gauge.planned if cell_id(part.name, option.text, planned.name) not in present]
    if not missing:
        return
    with compressed_part(gauge.model, gauge.structure, part, option.steps[0], calibration) as bits:
        for planned in missing:
            found = gauge.measure(planned)
            yield (
                cell_id(part.name, option.text, planned.name),
                Cell(
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
                ),
            )
