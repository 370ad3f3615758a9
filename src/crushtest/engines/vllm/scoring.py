"""Log-likelihoods from vLLM's prompt log-probabilities, with prefixes shared by its prefix cache.

vLLM computes nothing for the tokens of a prompt that it finds in its cache, and what it returns in the place of their
log-probabilities is uninitialised memory. So only the places after `num_cached_tokens` are read. Lines are asked in
sorted order: the tokens that a line finds in the cache were computed for a line before it, and so were their
log-probabilities. What no line of the same part has computed is asked once more, without the cache: the first token
by which a line differs from those before it, where the cache ends right before that token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from crushtest.engines.likelihood import Floats, Part
from crushtest.engines.packing import Ints, Line
from crushtest.engines.vllm.program import failing
from crushtest.errors import EngineError

# Of a part. It is what an interrupted run repeats, and its end leaves the accelerator half empty for a moment.
TOKENS, LINES = 2**15, 2**10


@dataclass(frozen=True)
class Together:
    """Lines that are asked together, in sorted order, with an edge for each token that they predict.

    asked      the lines
    targets    [edges] the token that is predicted
    lines      [edges] the line that asks, as the caller counts them
    positions  [edges] the place in its line of the token that predicts
    """

    asked: tuple[Line, ...]
    targets: Ints
    lines: Ints
    positions: Ints

    @property
    def read(self) -> int:
        """How many tokens vLLM reads to run it, as far as its cache shares what neighbours begin with."""
        return sum(len(line.tokens) - shared for line, shared in zip(self.asked, _shared(self.asked), strict=True))


class Store(NamedTuple):
    """The places for keys and values that lines can take: how many blocks of how many tokens."""

    blocks: int
    block: int

    def taken(self, length: int, shared: int) -> int:
        """Return the blocks that a line takes, with the token that is written; those that are shared whole are not its.

        >>> Store(100, 16).taken(40, 20), Store(100, 16).taken(47, 0), Store(100, 16).taken(48, 0)
        (2, 3, 4)
        """
        return length // self.block + 1 - shared // self.block


@dataclass(frozen=True)
class CachedLogLikelihood:
    """Asks vLLM for the log-probabilities of lines.

    shares  False to ask every line without the cache
    """

    llm: Any
    store: Store
    shares: bool

    def plan(self, lines: Sequence[Line]) -> Sequence[Together]:
        """Return all lines that predict anything, in parts that fit into the store."""
        predicting = [index for index, line in enumerate(lines) if line.start < len(line.tokens)]
        # Big-endian bytes sort as the numbers do.
        order = sorted(predicting, key=lambda index: np.asarray(lines[index].tokens, dtype=">u4").tobytes())
        return [_together(lines, part) for part in self._parts(lines, order)]

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one part, which begins with an empty cache.

        So its numbers depend on nothing that ran before it.
        """
        empty_cache(self.llm)
        asked = cast("Sequence[Together]", plan)[index].asked
        values: list[Floats] = []
        known = np.empty(0)
        for line, read, shared in zip(asked, self._ask(asked, cached=self.shares), _shared(asked), strict=True):
            known = _merged(read, known[:shared])
            values.append(known[line.start :])
        lacking = _lacking(values)
        for place, read in zip(lacking, self._ask([asked[place] for place in lacking], cached=False), strict=True):
            values[place] = read[asked[place].start :]
        for place in _lacking(values):  # interrupted both times: by itself it has the whole store
            [read] = self._ask([asked[place]], cached=False)
            values[place] = read[asked[place].start :]
        edges = np.concatenate(values)
        if np.isnan(edges).any():
            raise EngineError(NO_NUMBERS)
        return edges

    def _parts(self, lines: Sequence[Line], order: Sequence[int]) -> Iterator[list[int]]:
        """Yield the lines' indexes part by part."""
        part: list[int] = []
        tokens = blocks = 0
        for index, shared in zip(order, _shared([lines[index] for index in order]), strict=True):
            length, common = len(lines[index].tokens), shared if part and self.shares else 0
            new, taken = length - common, self.store.taken(length, common)
            if part and (tokens + new > TOKENS or blocks + taken > self.store.blocks or len(part) == LINES):
                yield part
                part, tokens, blocks = [], 0, 0
                new, taken = length, self.store.taken(length, 0)
            part.append(index)
            tokens, blocks = tokens + new, blocks + taken
        if part:
            yield part

    def _ask(self, lines: Sequence[Line], *, cached: bool) -> list[Floats]:
        """Return the log-probabilities of each line's tokens; NaN in the places that vLLM has not computed."""
        if not lines:
            return []
        from vllm import SamplingParams

        # No detokenizing: it breaks on the uninitialised memory.
        sampling = SamplingParams(
            prompt_logprobs=0,
            max_tokens=1,
            temperature=0.0,
            detokenize=False,
            flat_logprobs=True,
            skip_reading_prefix_cache=not cached,
        )
        prompts = [{"prompt_token_ids": list(line.tokens)} for line in lines]
        outputs = answers(self.llm, prompts, sampling)
        return [_read(output, line.tokens, cached) for output, line in zip(outputs, lines, strict=True)]


NO_NUMBERS = (
    "vLLM gave no numbers for the log-probabilities of a text that it was asked without its cache; the model's weights "
    "or activations are broken (NaN or overflow). Check the checkpoint, or use another dtype"
)


def answers(llm: Any, prompts: Sequence[Any], sampling: Any) -> list[Any]:
    """Return what vLLM answers. EngineError with what it says if it fails: it has no memory left, or is dead."""
    with failing("vLLM failed"):
        return list(llm.generate(prompts, sampling, use_tqdm=False))


def empty_cache(llm: Any) -> None:
    """Empty vLLM's prefix cache. EngineError if it will not."""
    with failing("vLLM failed"):
        emptied = llm.reset_prefix_cache()
    if not emptied:
        raise EngineError("vLLM did not empty its prefix cache, so its numbers would depend on what ran before")


def _read(output: Any, tokens: Sequence[int], cached: bool) -> Floats:
    """Return the log-probabilities [tokens] that vLLM computed for this prompt; NaN where it computed none.

    The first token that it computes predicts the place after it. If it does not say which that is, and might have read
    its cache, all are NaN. So they are if it interrupted the prompt for want of blocks: when it goes on, it reads its
    cache again and does not say how far.
    """
    if output.prompt_logprobs is None or len(output.prompt_logprobs) != len(tokens):
        raise EngineError(f"vLLM gave no log-probability for each of the {len(tokens)} tokens of a prompt")
    values = np.full(len(tokens), np.nan)
    found = output.num_cached_tokens
    interruptions: int = getattr(output.metrics, "num_preemptions", 0)
    if (found is None and cached) or interruptions:
        return values
    for place in range((found or 0) + 1, len(tokens)):
        given = output.prompt_logprobs[place].get(tokens[place])
        if given is None:
            raise EngineError(f"vLLM gave the log-probability of another token than the one at place {place}")
        values[place] = given.logprob
    return values


def _lacking(values: Sequence[Floats]) -> list[int]:
    return [place for place, own in enumerate(values) if np.isnan(own).any()]


def _merged(read: Floats, before: Floats) -> Floats:
    """Return a line's log-probabilities, its first ones as the lines before it had them where it has none itself."""
    merged = read.copy()
    first = merged[: len(before)]
    first[np.isnan(first)] = before[np.isnan(first)]
    return merged


def _shared(lines: Sequence[Line]) -> list[int]:
    """Return for each line how many tokens it begins with as the line before it does."""
    shared: list[int] = []
    before = np.empty(0, dtype=np.int64)
    for line in lines:
        tokens = np.asarray(line.tokens, dtype=np.int64)
        length = min(len(before), len(tokens))
        differs = np.flatnonzero(before[:length] != tokens[:length])
        shared.append(int(differs[0]) if len(differs) else length)
        before = tokens
    return shared


def _together(lines: Sequence[Line], part: Sequence[int]) -> Together:
    asked = [lines[index] for index in part]
    positions = [np.arange(line.start - 1, len(line.tokens) - 1) for line in asked]
    return Together(
        asked=tuple(asked),
        targets=np.concatenate([np.asarray(line.tokens[line.start :], dtype=np.int64) for line in asked]),
        lines=np.repeat(np.array(part), [len(places) for places in positions]),
        positions=np.concatenate(positions),
    )
