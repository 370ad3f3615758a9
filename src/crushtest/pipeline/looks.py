"""The order in which an arm that may stop early is asked: blocks of items at random, look by look."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crushtest.errors import StoreError
from crushtest.metrics import Metric
from crushtest.pipeline.joined import Joined
from crushtest.records import Choices, Item, Prompt
from crushtest.results import Contrast
from crushtest.stats.clusters import Index
from crushtest.stats.item_sums import Measured
from crushtest.stats.looked import looked_rows
from crushtest.stats.progressed import Progressed
from crushtest.stats.sequential import FEWEST_BLOCKS, blocks_at_looks
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.stops import may_stop, read_stop

APART = 50
"""Items that are asked between two looks, at least. A look ends packs and batches: fewer items take as long."""


@dataclass(frozen=True)
class AskingOrder:
    """How a task's items are asked.

    items   of the task, in the study's order
    rank    [items] place of each item's block in the order of asking
    looks   (number of the look, blocks asked by then), the last of which asks all
    of      how many looks there are
    """

    items: tuple[Item, ...]
    rank: Index
    looks: tuple[tuple[int, int], ...]
    of: int

    def parts(self) -> Iterator[list[Item]]:
        """Yield what is asked before each look, in the study's order."""
        before = 0
        for _, blocks in self.looks:
            yield [item for item, rank in zip(self.items, self.rank.tolist(), strict=True) if before <= rank < blocks]
            before = blocks

    def until(self, look: int) -> list[Item]:
        """Return what is asked until a look, the first of which is 0."""
        blocks = self.looks[look][1]
        return [item for item, rank in zip(self.items, self.rank.tolist(), strict=True) if rank < blocks]

    def place_of(self, number: int) -> int:
        """Return which of the looks has this number. Raises StoreError if an older version had other looks."""
        for place, (each, _) in enumerate(self.looks):
            if each == number:
                return place
        raise StoreError(
            f"an arm was stopped at look {number}, where this version of crushtest does not look; use another --out"
        )


def asking_order(planned: PlannedTask, items: Sequence[Item], seed: int) -> AskingOrder:
    """Return the order in which an arm is asked a task: its blocks in one permutation, the same for all arms.

    It is no permutation that is even over groups: a part of such a one is no random sample of the items.
    """
    blocks = blocks_of(planned, items)
    names = list(dict.fromkeys(blocks))
    random.Random(f"stop early, {planned.name}, {seed}").shuffle(names)
    place = {name: number for number, name in enumerate(names)}
    rank = np.array([place[name] for name in blocks], np.int64)
    asked = np.cumsum(np.bincount(rank, minlength=len(names)))
    at = blocks_at_looks(len(names))
    looks, before = list[tuple[int, int]](), 0
    for number, count in enumerate(at, start=1):
        if count == len(names) or (count >= FEWEST_BLOCKS and asked[count - 1] - before >= APART):
            looks.append((number, count))
            before = int(asked[count - 1])
        if count == len(names):
            break
    return AskingOrder(tuple(items), rank, tuple(looks), len(at))


def blocks_of(planned: PlannedTask, items: Sequence[Item]) -> list[str]:
    """Return the name of each item's block: that of the first item which it must be asked together with.

    These are the items that the task names together or that have the same context, the turns of a conversation, and
    what a metric measures together.
    """
    together = Joined()
    for item in items:
        for other in (*_shared(planned, item), *_with_it(planned.task.metrics, item)):
            together.join(f"item {item.id}", other)
    first: dict[str, str] = {}
    return [first.setdefault(together.first(f"item {item.id}"), item.id) for item in items]


def _shared(planned: PlannedTask, item: Item) -> Iterator[str]:
    request = item.request
    if planned.task.block is not None:
        yield f"block {planned.task.block(item)}"
    else:
        context = request.context if isinstance(request, Choices) else request.text
        yield f"context {context}" if context else f"item {item.id}"
    if isinstance(request, Prompt) and request.follows is not None:
        yield f"item {request.follows}"


def _with_it(metrics: Sequence[Metric], item: Item) -> Iterator[str]:
    for metric in metrics:
        if metric.partner_ids is not None and metric.applies_to(item):
            for partner in metric.partner_ids(item):
                yield f"item {partner}"


def order_of(plan: Plan, planned: PlannedTask, items: Sequence[Item]) -> AskingOrder:
    """Return the order in which arms that may stop are asked a task."""
    return asking_order(planned, items, plan.seed)


def rows_at(
    plan: Plan,
    planned: PlannedTask,
    metrics: Sequence[Metric],
    order: AskingOrder,
    look: int,
    arm: str,
    dense: Measured,
    measured: Measured,
    *,
    rules: int,
    pooled: bool = False,
) -> list[Contrast]:
    """Return the rows of an arm at a look (the first is 0), those over all items or all; `rules` share the error."""
    assert plan.stop_early is not None
    blocks = tuple(count for _, count in order.looks)
    how = Progressed(
        rank=order.rank,
        looks=blocks[: look + 1],
        last=blocks[-2] if len(blocks) > 1 else blocks[-1],
        number=order.looks[look][0],
        of=order.of,
        error=plan.stop_early.error,
        rules=rules,
        bounds=plan.stop_early.bounds,
        pooled=pooled,
    )
    return looked_rows(planned.name, metrics, order.items, arm, dense, measured, how)


def parts_asked(
    folder: StudyFolder, plan: Plan, arm: Arm, planned: PlannedTask, items: Sequence[Item]
) -> list[Sequence[Item]]:
    """Return the items that an arm was asked, part by part as they were asked."""
    if not may_stop(plan, arm):
        return [items]
    order, stop = order_of(plan, planned, items), read_stop(folder, arm, planned)
    parts: list[Sequence[Item]] = list(order.parts())
    return parts if stop is None else parts[: order.place_of(stop.look) + 1]
