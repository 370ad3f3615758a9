"""A short measurement of an engine on a task's own items: seconds per token read and per token written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crushtest.engines.counting import Tokens, count_tokens
from crushtest.engines.token_engine import TokenEngine
from crushtest.pipeline.ask import request
from crushtest.pipeline.cost.records import Spent, Watch, added
from crushtest.records import Completion, Item
from crushtest.study.plan import PlannedTask

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

READING_S, WRITING_S = 2.0, 4.0
"""What the warm-up of a task takes, about; at least one item is read, and eight tokens are written by each prompt."""
PACK = 2048
"""Tokens of a slice of items, as many as an engine runs at once."""
FEW = 4
"""Tokens written by the first, short measurement of writing."""
BATCH = 64
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Rate:
    """What a task costs an engine.

    read      per token that is read; per item if the engine does not count tokens
    written   per token that is written
    length    tokens that a completion is expected to have
    room      tokens for which there was no room in the warm-up and will be when a whole batch is written
    """

    read: Spent
    written: Spent = field(default_factory=Spent)
    length: float = 0.0
    room: int = 0

    def of(self, tokens: Tokens | None, items: int) -> Spent:
        """Return what so many tokens and items cost."""
        units = items if tokens is None else tokens.read
        return self.read.times(units) + self.written.times(self.length * items)


def count(engine: Engine, planned: PlannedTask, items: Sequence[Item], done: frozenset[int] = NOTHING) -> Tokens | None:
    """Return the tokens of a task's items; None if the engine does not tell its tokens."""
    if not isinstance(engine, TokenEngine):
        return None
    requests = [item.request for item in items]
    return count_tokens(engine, planned.task.kind, requests, planned.task.sampling, done)


def measure(engine: Engine, planned: PlannedTask, items: Sequence[Item]) -> Rate:
    """Return what a task's items cost, from a few of them."""
    if planned.task.kind == "prompts":
        return _writing(engine, planned, items)
    return Rate(_reading(engine, planned, items))


def _reading(engine: Engine, planned: PlannedTask, items: Sequence[Item]) -> Spent:
    """Read one item, then slices as large as a pack until the time is up. The first one warms up and does not count."""
    place, size, units, left_s = 0, 1, 0, READING_S
    measured: list[tuple[int, Spent]] = []
    while place < len(items) and (left_s > 0 or not measured):
        part = items[place : place + size]
        took = _ask(engine, planned, part).spent
        read = _units(count(engine, planned, part), part)
        measured.append((read, took))
        place, units, left_s = place + len(part), units + read, left_s - took.effort_s
        affordable = left_s / max(took.effort_s / read, 1e-9)
        size = max(1, int(min(PACK, affordable) * place / units))
    counted = measured[1:] or measured
    return added(took for _, took in counted).times(1 / sum(read for read, _ in counted))


def _writing(engine: Engine, planned: PlannedTask, items: Sequence[Item]) -> Rate:
    """Continue some prompts by a few tokens, then by as many as there is time for.

    The difference is what writing costs. Prompts that were cut short are taken to end as often as they did until then.
    """
    size = engine.model.batch.prompts if isinstance(engine, TokenEngine) else BATCH
    some, most = items[:: math.ceil(len(items) / size)], planned.task.sampling.max_tokens
    read = _units(count(engine, planned, some), some)
    short = _ask(engine, _cut(planned, FEW), some)
    length = min(most, max(2 * FEW, int(WRITING_S / max(short.spent.effort_s / FEW, 1e-9))))
    room = len(some) * max(0, most - length)
    if length <= FEW:
        return Rate(Spent(), short.spent.times(1 / max(1, short.written)), _expected(short, FEW, most), room)
    long = _ask(engine, _cut(planned, length), some)
    more = long.written - short.written
    each = long.spent.less(short.spent).times(1 / more) if more > 0 else Spent()
    of_prompts = (long if more <= 0 else short).spent.less(each.times(short.written))
    return Rate(of_prompts.times(1 / read), each, _expected(long, length, most), room)


@dataclass(frozen=True)
class _Asked:
    """What asking took, how many tokens were written, and how many of the completions were cut short."""

    spent: Spent
    items: int
    written: int
    cut: int


def _ask(engine: Engine, planned: PlannedTask, items: Sequence[Item]) -> _Asked:
    watch = Watch()
    answers: list[Any] = [answer for _, answer in request(engine, planned, items, NOTHING)]
    spent = watch.spent()
    texts = [answer for answer in answers if isinstance(answer, Completion)]
    return _Asked(spent, len(items), sum(text.tokens for text in texts), sum(text.stop == "length" for text in texts))


def _cut(planned: PlannedTask, length: int) -> PlannedTask:
    sampling = planned.task.sampling
    shorter = replace(sampling, max_tokens=min(length, sampling.max_tokens))
    return replace(planned, task=replace(planned.task, sampling=shorter))


def _expected(asked: _Asked, length: int, most: int) -> float:
    """Return the tokens that a completion is expected to have if it goes on ending as it did in the first ones."""
    mean, going = asked.written / asked.items, asked.cut / asked.items
    rest = max(0, most - length)
    if going in (0.0, 1.0) or not rest:
        return mean + going * rest
    rate = -math.log(going) / length
    return mean + going * (1 - math.exp(-rate * rest)) / rate


def _units(tokens: Tokens | None, items: Sequence[Item]) -> int:
    return max(1, len(items) if tokens is None else tokens.read)
