"""How far a change of weights moves answers from dense's, item by item, running what lies above the change alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crushtest.engines.encoding import (
    choice_pairs,
    cut_left,
    encode_options,
    encode_prompts,
    passage_lines,
    scored_parts,
)
from crushtest.engines.hf.from_block import FromBlock
from crushtest.engines.hf.kl import Likeliest, compare_likeliest, likeliest
from crushtest.engines.hf.likelihood import edge_logits
from crushtest.engines.likelihood import Floats, log_probabilities
from crushtest.engines.packing import Ints, Line, plan_packs
from crushtest.errors import EngineError
from crushtest.records import Choices, Completion, Passage, Prompt

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from crushtest.engines.hf.model import HfModel
    from crushtest.records import Request

TOP_K = 512
"""Dense's likeliest tokens that an arm is compared with, per predicted token. All others are one class more."""
MOST_TOKENS = 24
"""Predicted tokens per window or completion at which distributions are compared, evenly spread over it."""
LONGEST = 64
"""Tokens of a window of a passage that are read: its beginning."""


class Divergence(NamedTuple):
    """KL(dense || arm) in nats of each item [items], summed over what it is measured at, and how much that is.

    weight  1 for a question; for a text the predicted tokens that were compared
    """

    total: Floats
    weight: Floats


@dataclass
class BlockDivergence:
    """Divergence from dense of items of one kind, for a network whose blocks change one at a time.

    Questions: over the options, each with the probability that its log-likelihood gives it among them. Passages: over
    the next token. Prompts: over the next token of dense's own completion, given the prompt and what is before it.

    owner   [lines] the item of each line
    """

    from_block: FromBlock
    items: int
    owner: Ints
    options: list[range] | None
    _dense: list[Floats | Likeliest]

    @property
    def compares_anything(self) -> bool:
        """Return False if no item has anything to compare: dense wrote nothing to any prompt."""
        return len(self.owner) > 0

    @property
    def number(self) -> int:
        """Return the block from which on passes run."""
        return self.from_block.number

    def advance(self) -> None:
        """Go one block up, under the weights of now: those below are not looked at any more."""
        self.from_block.advance()

    def restart(self) -> None:
        """Go back to the first block."""
        self.from_block.restart()

    def divergence(self) -> Divergence:
        """Return the divergence under the weights of now. Only those from this block on may differ from dense's."""
        return self._over_options() if self.options is not None else self._over_tokens()

    def _over_options(self) -> Divergence:
        assert self.options is not None
        (dense,) = self._dense
        assert not isinstance(dense, Likeliest)
        arm = line_logprobs(self.from_block, len(self.owner))
        total = [_kl(_softmax(dense[list(lines)]), _softmax(arm[list(lines)])) for lines in self.options]
        return Divergence(np.array(total), np.ones(self.items))

    def _over_tokens(self) -> Divergence:
        total, count = np.zeros(self.items), np.zeros(self.items)
        for index, hidden in enumerate(self.from_block.passes()):
            edges, dense = chosen_edges(self.from_block, index), self._dense[index]
            if not len(edges):
                continue
            assert isinstance(dense, Likeliest)
            pack = self.from_block.plan[index]
            for piece in edge_logits(self.from_block.network, hidden, pack.rows[edges]):
                part = Likeliest(*(column[piece.edges] for column in dense))
                kl = compare_likeliest(part, piece.logits[piece.rows]).kl
                owners = self.owner[pack.lines[edges[piece.edges]]]
                np.add.at(total, owners, kl.double().cpu().numpy())
                np.add.at(count, owners, 1.0)
        return Divergence(total, count)


def block_divergence(
    model: HfModel,
    requests: Sequence[Request],
    completions: Sequence[Completion | None],
    blocks: Sequence[Module],
    extras: int | None,
) -> BlockDivergence:
    """Return what measures a dense model's changes on requests of one kind; dense is run once, and must be dense now.

    completions   dense's own, for prompts. An item whose completion is empty or missing counts for nothing

    Raises EngineError for a model that does not run in prefix-shared packs of any length.
    """
    if model.paths.scoring != "packs" or model.paths.limit is not None or model.kv is not None:
        why = model.paths.slow_scoring or "its packs are exact for short lines only, or its keys are stored otherwise"
        raise EngineError(f"sensitivity needs a model that runs in prefix-shared packs of any length; {why}")
    groups = lines_of(model, requests, completions)
    lines = list(chain(*groups))
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    network = model.loaded.network
    from_block = FromBlock(network, blocks, plan_packs(lines, model.packed.size), extras)
    over_options = all(isinstance(request, Choices) for request in requests)
    options = None
    dense: list[Floats | Likeliest]
    if over_options:
        ends = np.cumsum([0, *(len(group) for group in groups)]).tolist()
        options = [range(start, stop) for start, stop in pairwise(ends)]
        dense = [line_logprobs(from_block, len(lines))]
    else:
        dense = [_likeliest(from_block, index, hidden) for index, hidden in enumerate(from_block.passes())]
    return BlockDivergence(from_block, len(groups), owner, options, dense)


def lines_of(model: HfModel, requests: Sequence[Request], completions: Sequence[Completion | None]) -> list[list[Line]]:
    """Return the lines of each request, cut as the engine cuts them: one per option, per window, per completion."""
    tokenizer, context = model.tokenizer, model.context
    groups: list[list[Line]] = []
    for request, completion in zip(requests, completions, strict=True):
        match request:
            case Choices():
                options = encode_options(tokenizer, choice_pairs(tokenizer, request))
                parts = [[cut_left(part, context) for part in scored_parts(line, request)] for line in options]
                if any(len(part) != 1 for part in parts):
                    raise EngineError(f"sensitivity cannot score options in parts (protocol {request.protocol!r})")
                groups.append([part[0] for part in parts])
            case Passage():
                (windows,) = passage_lines(tokenizer, [request], context)
                groups.append([line._replace(tokens=line.tokens[:LONGEST]) for line in windows if line.start < LONGEST])
            case Prompt():
                written = [] if completion is None else list(tokenizer.encode([completion.text], add_special=False)[0])
                (prompt,) = encode_prompts(tokenizer, [request])
                line = Line([*prompt, *written], len(prompt))
                groups.append([cut_left(line, context)] if written else [])
    return groups


def line_logprobs(from_block: FromBlock, lines: int) -> Floats:
    """Return the log-likelihood in nats of each line [lines] under the weights of now."""
    total = np.zeros(lines)
    for pack, hidden in zip(from_block.plan, from_block.passes(), strict=True):
        logits = edge_logits(from_block.network, hidden, pack.rows)
        np.add.at(total, pack.lines, log_probabilities(logits, pack.targets))
    return total


def chosen_edges(from_block: FromBlock, index: int) -> Ints:
    """Return the edges of a pack at which distributions are compared: of each line as many as `MOST_TOKENS`.

    They are spread evenly over the line's edges in this pack.
    """
    pack = from_block.plan[index]
    chosen = [
        edges[np.unique(np.linspace(0, len(edges) - 1, min(len(edges), MOST_TOKENS)).round().astype(np.int64))]
        for line in np.unique(pack.lines)
        if len(edges := np.flatnonzero(pack.lines == line))
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def _likeliest(from_block: FromBlock, index: int, hidden: Tensor) -> Likeliest:
    """Return the likeliest tokens at each of a pack's chosen edges, in their order."""
    import torch

    rows = from_block.plan[index].rows[chosen_edges(from_block, index)]
    edges: list[Ints] = []
    pieces: list[Likeliest] = []
    for piece in edge_logits(from_block.network, hidden, rows):
        edges.append(piece.edges)
        pieces.append(likeliest(piece.logits[piece.rows], TOP_K))
    if not pieces:
        return Likeliest(*(torch.empty(0) for _ in Likeliest._fields))
    order = np.argsort(np.concatenate(edges))
    return Likeliest(*(torch.cat(columns)[order] for columns in zip(*pieces, strict=True)))


def _softmax(logprobs: Floats) -> Floats:
    exponentials: Floats = np.exp(logprobs - logprobs.max())
    shares: Floats = exponentials / exponentials.sum()
    return shares


def _kl(dense: Floats, arm: Floats) -> float:
    present = dense > 0
    tiny = np.finfo(np.float64).tiny
    return max(0.0, float((dense[present] * np.log(dense[present] / np.maximum(arm[present], tiny))).sum()))
