"""Completions: prompts of similar length are continued together, token by token."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from crushtest.engines.token_model import Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Completion, Prompt, Sampling

if TYPE_CHECKING:
    from torch import Tensor


class Decoder(Protocol):
    """Continues a batch of prompts; it remembers their keys and values."""

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Read the prompts, with `room` for more tokens each: logits [prompts, vocabulary] of what comes next."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token [rows] to each row and return logits [rows, vocabulary] of what comes next."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, in this order."""
        ...


def batches(prompts: Sequence[Sequence[int]], size: int, room: int, tokens: int) -> list[list[int]]:
    """Return the prompts' indexes, longest first, in batches of at most `size`, and `tokens` with their room."""
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    chosen = []
    while order:
        count = max(min(size, tokens // (len(prompts[order[0]]) + room)), 1)
        chosen.append(order[:count])
        order = order[count:]
    return chosen


@dataclass
class Text:
    """A completion as it grows.

    draws  the numbers in [0, 1) that decide its tokens if they are sampled here
    seed   what another program draws it with
    """

    index: int
    draws: NDArray[np.float64]
    seed: int = 0
    tokens: list[int] = field(default_factory=list)


def continue_batch(
    decoder: Decoder,
    tokenizer: Tokenizer,
    ends: Container[int],
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Text],
    sampling: Sampling,
) -> Iterator[tuple[int, Completion]]:
    """Yield the completions of one batch as they end. Drop rows that have ended once they are a quarter of all.

    ends  tokens that end a text
    """
    import torch

    rows: list[Text | None] = list(texts)
    logits = decoder.prefill(prompts, sampling.max_tokens)
    while True:
        chosen = choose(logits, sampling, [text.draws[len(text.tokens)] if text else 0.0 for text in rows])
        for row, token in enumerate(chosen.tolist()):
            text = rows[row]
            if text is None:
                continue
            completion = extend(text, token, ends, tokenizer, sampling)
            if completion is not None:
                rows[row] = None
                yield text.index, completion
        going = [row for row, text in enumerate(rows) if text is not None]
        if not going:
            return
        if len(going) <= 0.75 * len(rows):
            kept = torch.tensor(going, device=chosen.device)
            decoder.keep(kept)
            rows, chosen = [rows[row] for row in going], chosen[kept]
        logits = decoder.step(chosen)


def extend(text: Text, token: int, ends: Container[int], tokenizer: Tokenizer, sampling: Sampling) -> Completion | None:
    """Append a token; return the completion if the text ends with it. An end token is neither counted nor shown."""
    if token in ends:
        return Completion(tokenizer.decode(text.tokens), len(text.tokens), "eos")
    text.tokens.append(token)
    if sampling.stop:
        written = tokenizer.decode(text.tokens)
        at = min((place for stop in sampling.stop if (place := written.find(stop)) >= 0), default=None)
        if at is not None:
            return Completion(written[:at], len(text.tokens), "stop")
    if len(text.tokens) == sampling.max_tokens:
        return Completion(tokenizer.decode(text.tokens), len(text.tokens), "length")
    return None


def draws(prompt: Prompt, sampling: Sampling) -> NDArray[np.float64]:
    """Return the numbers that decide a sampled completion, from the seed, the prompt and its sample number alone."""
    if sampling.temperature == 0:
        return np.zeros(sampling.max_tokens)
    key = f"{sampling.seed}\n{prompt.sample}\n{prompt.history!r}\n{prompt.text}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    return np.random.default_rng(seed).random(sampling.max_tokens)


def seed_of(prompt: Prompt, sampling: Sampling) -> int:
    """Return the seed of a completion that another program draws: from what `draws` goes by, nothing else."""
    key = f"{sampling.seed}\n{prompt.sample}\n{prompt.history!r}\n{prompt.text}"
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:4], "little") >> 1


BROKEN = (
    "the model gave logits that are not numbers; its weights or activations are broken (NaN or overflow). "
    "Check the checkpoint, or use dtype float32"
)


def choose(logits: Tensor, sampling: Sampling, numbers: Sequence[float]) -> Tensor:
    """Return the next token of each row of logits [rows, vocabulary]: the likeliest, or drawn from the distribution.

    Tokens are ranked by probability; the smallest set whose probability reaches `top_p` is drawn from. `numbers`
    in [0, 1), one per row, pick the token at that share of the set's probability. EngineError if a row of logits is
    not finite: what a broken model writes is no completion.
    """
    import torch

    # The largest of a row is NaN where any of it is.
    if not torch.isfinite(logits.amax(dim=-1)).all():
        raise EngineError(BROKEN)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    ranked, order = probabilities.sort(dim=-1, descending=True, stable=True)
    below = ranked.cumsum(dim=-1)
    # A token is in the set while those ranked before it do not reach top_p.
    inside = (below - ranked) < sampling.top_p
    mass = (ranked * inside).sum(dim=-1, keepdim=True)
    wanted = torch.tensor(numbers, dtype=ranked.dtype, device=ranked.device)[:, None] * mass
    rank = (below <= wanted).sum(dim=-1, keepdim=True).clamp_max(inside.sum(dim=-1, keepdim=True) - 1)
    return order.gather(1, rank)[:, 0]
