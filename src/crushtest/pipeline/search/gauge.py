"""A model in memory and what measures its divergence from dense, task by task, from any of its blocks up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any

from crushtest.compress.parts import Grain, Part, parts_of
from crushtest.compress.prepare import load_base
from crushtest.errors import EngineError
from crushtest.progress import Progress
from crushtest.records import DENSE, Completion, Item, Prompt
from crushtest.stats.ratio_error import RatioError, ratio_error
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.tasks.shared.conversations import with_history

if TYPE_CHECKING:
    from crushtest.compress.layers.structure import Structure
    from crushtest.engines.hf.block_divergence import BlockDivergence, Divergence
    from crushtest.engines.hf.model import HfModel
    from crushtest.models.load import LoadedModel


@dataclass(frozen=True)
class Opened:
    """A dense model in memory, ready to run from any of its blocks.

    extras   how many things a block returns beside the hidden states; None if it returns these alone
    """

    model: LoadedModel
    runs: HfModel
    structure: Structure
    parts: tuple[Part, ...]
    extras: int | None


@dataclass(frozen=True)
class Gauge:
    """What measures changes of a model on some items, task by task.

    planned  the tasks in which there is something to compare
    items    the items that are measured, by task
    few      the same with some of the items, for changes that are slight; None: there is no other
    """

    opened: Opened
    planned: tuple[PlannedTask, ...]
    items: Mapping[str, Sequence[Item]]
    tasks: Mapping[str, BlockDivergence]
    few: Gauge | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the model's parts."""
        return self.opened.parts

    def divergence(self, planned: PlannedTask) -> Divergence:
        """Return the divergence of each item of a task under the weights of now."""
        return self.tasks[planned.name].divergence()

    def clusters(self, planned: PlannedTask) -> list[str]:
        """Return the cluster of each item of a task."""
        return [item.unit for item in self.items[planned.name]]

    def measure(self, planned: PlannedTask) -> RatioError:
        """Return the divergence of a task under the weights of now, with its error."""
        found = self.divergence(planned)
        measured = ratio_error(found.total, found.weight, self.clusters(planned))
        assert measured is not None
        return measured

    def measure_slight(self, planned: PlannedTask) -> RatioError:
        """Return the same for a slight change of weights, on few of the items."""
        by = self if self.few is None or planned.name not in self.few.tasks else self.few
        return by.measure(planned)

    def restart(self) -> None:
        """Go back to the first block in every task."""
        for task in self._all_tasks():
            task.restart()

    def advance(self) -> None:
        """Go one block up in every task, under the weights of now."""
        for task in self._all_tasks():
            task.advance()

    def _all_tasks(self) -> Iterator[BlockDivergence]:
        yield from self.tasks.values()
        yield from () if self.few is None else self.few.tasks.values()


def open_model(plan: Plan, grain: Grain, progress: Progress) -> Opened:
    """Return a study's dense model, loaded. Raises ModelError for one that cannot be run block by block."""
    import torch

    from crushtest.compress.layers.activations import probe
    from crushtest.compress.layers.offload import InPlace
    from crushtest.compress.layers.structure import find_structure
    from crushtest.engines import load_engine
    from crushtest.models.devices import input_device

    dense = plan.dense
    model = load_base(dense.model_options, dense.model, "sensitivity", progress)
    engine: Any = load_engine(model, engine=dense.engine, **dense.engine_options)
    structure = find_structure(model.network)
    ids = torch.zeros(1, 8, dtype=torch.long, device=input_device(model.network))
    with torch.no_grad():
        extras = probe(model.network, structure.blocks, ids, InPlace(model.network))
    return Opened(model, engine.model, structure, parts_of(structure, grain), extras)


def gauge_of(
    opened: Opened,
    study: StudyFolder,
    plan: Plan,
    chosen: Mapping[str, Sequence[Item]],
    progress: Progress,
    title: str = "sensitivity",
) -> Gauge:
    """Return what measures changes on the chosen items; the model must be dense, and its arm must have answered.

    Raises EngineError if dense's answers leave nothing to compare in any task.
    """
    from crushtest.engines.hf.block_divergence import block_divergence

    tasks: dict[str, BlockDivergence] = {}
    with progress.step(f"{title} · dense", len(plan.tasks)) as advance:
        for planned in plan.tasks:
            asked, written = requests_of(study, planned, chosen[planned.name])
            measure = block_divergence(opened.runs, asked, written, opened.structure.blocks, opened.extras)
            if measure.compares_anything:
                tasks[planned.name] = measure
            else:
                progress.say(f"{planned.name}: dense wrote nothing, so nothing is measured in this task")
            advance(1)
    if not tasks:
        raise EngineError("sensitivity: the dense model's answers leave nothing to compare in any task")
    measured = tuple(planned for planned in plan.tasks if planned.name in tasks)
    return Gauge(opened, measured, chosen, tasks)


def requests_of(
    study: StudyFolder, planned: PlannedTask, chosen: Sequence[Item]
) -> tuple[list[Any], list[Completion | None]]:
    """Return the requests, and what dense wrote to those that are prompts."""
    if planned.task.kind != "prompts":
        return [item.request for item in chosen], [None] * len(chosen)
    items = study.read_items(planned.name)
    answers = study.answers(DENSE, planned.name, planned.task.kind).read([item.id for item in items])
    by_id = {item.id: item for item in items}
    written = [answer if isinstance(answer := answers[item.id], Completion) else None for item in chosen]
    turns = [with_history(item, by_id, answers) if isinstance(item.request, Prompt) else item for item in chosen]
    return [item.request for item in turns], written


def spread_over_clusters(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Return `count` items drawn at random, in their own order, of as many clusters as there are; all if fewer."""
    chance = random.Random(f"sensitivity, {seed}")
    by_cluster: dict[str, list[Item]] = {}
    for item in chance.sample(items, len(items)):
        by_cluster.setdefault(item.unit, []).append(item)
    rounds = chain.from_iterable(zip_longest(*by_cluster.values()))
    chosen = {item.id for item in islice((item for item in rounds if item is not None), count)}
    return [item for item in items if item.id in chosen]
