"""How many tokens an engine reads and writes to answer requests, counted from its own layout. Runs nothing."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from crushtest.engines.encoding import passage_lines
from crushtest.engines.likelihood import Part
from crushtest.engines.packing import Line, trunk_chain
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import LaysOut, TokenModel
from crushtest.records import Kind, Sampling

NONE: frozenset[int] = frozenset()


class Tokens(NamedTuple):
    """What an engine does to answer requests.

    read       tokens that the model reads, a prefix that several lines of a pack share once, padding included
    written    tokens that it writes at most
    truncated  lines and prompts that lose their beginning to fit into the context
    """

    read: int
    written: int = 0
    truncated: int = 0


def count_tokens(
    engine: TokenEngine[Any], kind: Kind, requests: Sequence[Any], sampling: Sampling, done: Container[int] = NONE
) -> Tokens:
    """Return what an engine reads and writes to answer requests, those that are `done` left out as it leaves them out.

    Raises EngineError as answering does, for an option or a prompt that leaves no room in the context.
    """
    model = engine.model
    if kind == "prompts":
        return _of_prompts(engine, requests, sampling, done)
    truncated = 0
    if kind == "passages":
        groups = passage_lines(model.tokenizer, requests, model.context)
    else:
        lines, truncated = engine.option_lines(requests)
        groups = [list(chain(*options)) for options in lines]
    return Tokens(read_by(model, groups, done), truncated=truncated)


def _of_prompts(engine: TokenEngine[Any], requests: Sequence[Any], sampling: Sampling, done: Container[int]) -> Tokens:
    prompts, truncated = engine.fitted_prompts(requests, sampling)
    asked = [batch for batch in engine.batches(prompts, sampling) if any(index not in done for index in batch)]
    together = [[prompts[index] for index in batch] for batch in asked]
    model = engine.model
    return Tokens(
        read=sum(
            model.read_to_continue(batch) if isinstance(model, LaysOut) else sum(map(len, batch)) for batch in together
        ),
        written=sum(map(len, asked)) * sampling.max_tokens,
        truncated=truncated,
    )


def read_by(model: TokenModel, groups: Sequence[Sequence[Line]], done: Container[int] = NONE) -> int:
    """Return the tokens that a model reads to score groups of lines; what only done groups need is left out."""
    if not isinstance(model, LaysOut):
        lines = (line for index, group in enumerate(groups) if index not in done for line in group)
        return sum(len(line.tokens) - 1 for line in lines)
    plan = model.layout(groups)
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    open_groups = np.array([index not in done for index in range(len(groups))], dtype=bool)
    asked = [index for index, part in enumerate(plan) if open_groups[owner[part.lines]].any()]
    needed = {*asked} | {trunk for index in asked for trunk in trunk_chain(plan, _trunk(plan[index]))}  # type: ignore[arg-type]
    return sum(plan[index].read for index in needed)


def _trunk(part: Part) -> int | None:
    return getattr(part, "trunk", None)
