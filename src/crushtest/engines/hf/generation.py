"""Completions: prompts of similar length are continued together, token by token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from crushtest.errors import EngineError
from crushtest.records import Completion, Prompt, Sampling

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from crushtest.models.load import LoadedModel


class Decoder(Protocol):
    """Continues a batch of prompts; it remembers their keys and values."""

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Read the prompts, with `room` for more tokens each: logits [prompts, vocabulary] of what comes first."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token [rows] to each row: logits [rows, vocabulary] of what comes next."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, in this order."""
        ...


def batches(prompts: Sequence[Sequence[int]], size: int, room: int, tokens: int) -> list[list[int]]:
    """Indexes of the prompts, longest first, in batches of at most `size` and of at most `tokens` with their room."""
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    found = []
    while order:
        count = max(min(size, tokens // (len(prompts[order[0]]) + room)), 1)
        found.append(order[:count])
        order = order[count:]
    return found


@dataclass
class Text:
    """A completion as it grows; `draws` are the numbers in [0, 1) that decide its tokens where they are sampled."""

    index: int
    draws: NDArray[np.float64]
    tokens: list[int] = field(default_factory=list)


def continue_batch(
    decoder: Decoder, model: LoadedModel, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
) -> Iterator[tuple[int, Completion]]:
    """The completions of one batch, as they end. Rows that have ended are dropped once they are a quarter of all."""
    import torch

    ends = end_tokens(model)
    rows: list[Text | None] = list(texts)
    logits = decoder.prefill(prompts, sampling.max_tokens)
    while True:
        chosen = choose(logits, sampling, [text.draws[len(text.tokens)] if text else 0.0 for text in rows])
        for row, token in enumerate(chosen.tolist()):
            text = rows[row]
            if text is None:
                continue
            completion = _extend(text, token, ends, model.tokenizer, sampling)
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


def continue_plainly(
    model: LoadedModel, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
) -> Iterator[tuple[int, Completion]]:
    """The completions of one batch, by transformers' own generation: for models that cannot be run in packs."""
    import torch
    from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

    class Chosen(LogitsProcessor):
        """Leaves the token that `choose` chooses as the only one possible."""

        def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
            step = input_ids.shape[1] - width
            token = choose(scores, sampling, [text.draws[step] for text in texts])
            only = torch.full_like(scores, float("-inf"))
            return cast("torch.FloatTensor", only.scatter_(1, token[:, None], 0.0))

    width = max(map(len, prompts))
    tokens = np.zeros((len(prompts), width), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = prompt
    present = np.array([[place >= width - len(prompt) for place in range(width)] for prompt in prompts], dtype=np.int64)
    ends = end_tokens(model)
    settings = cast(Any, GenerationConfig)(
        max_new_tokens=sampling.max_tokens, do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=0
    )
    device, network = model.network.device, cast(Any, model.network)
    written = network.generate(
        input_ids=torch.from_numpy(tokens).to(device),
        attention_mask=torch.from_numpy(present).to(device),
        generation_config=settings,
        logits_processor=LogitsProcessorList([Chosen()]),
    )
    for text, row in zip(texts, written[:, width:].tolist(), strict=True):
        ended = (_extend(text, token, ends, model.tokenizer, sampling) for token in row)
        yield text.index, next(completion for completion in ended if completion is not None)


def _extend(
    text: Text, token: int, ends: set[int], tokenizer: PreTrainedTokenizerBase, sampling: Sampling
) -> Completion | None:
    """Append a token; the completion where the text ends with it. An end token is neither counted nor shown."""
    if token in ends:
        return Completion(_decoded(tokenizer, text.tokens), len(text.tokens), "eos")
    text.tokens.append(token)
    if sampling.stop:
        written = _decoded(tokenizer, text.tokens)
        at = min((place for stop in sampling.stop if (place := written.find(stop)) >= 0), default=None)
        if at is not None:
            return Completion(written[:at], len(text.tokens), "stop")
    if len(text.tokens) == sampling.max_tokens:
        return Completion(_decoded(tokenizer, text.tokens), len(text.tokens), "length")
    return None


def _decoded(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def end_tokens(model: LoadedModel) -> set[int]:
    """Tokens that end a text: those of the model's generation settings, and the tokenizer's."""
    settings = getattr(model.network, "generation_config", None)
    named = [getattr(settings, "eos_token_id", None), model.tokenizer.eos_token_id]
    flat = [token for entry in named for token in (entry if isinstance(entry, list) else [entry])]
    return {int(token) for token in flat if token is not None}


def draws(prompt: Prompt, sampling: Sampling) -> NDArray[np.float64]:
    """The numbers that decide a sampled completion: from the seed, the prompt and its sample number, nothing else."""
    if sampling.temperature == 0:
        return np.zeros(sampling.max_tokens)
    key = f"{sampling.seed}\n{prompt.sample}\n{prompt.history!r}\n{prompt.text}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    return np.random.default_rng(seed).random(sampling.max_tokens)


def choose(logits: Tensor, sampling: Sampling, numbers: Sequence[float]) -> Tensor:
    """Next token of each row of logits [rows, vocabulary]: the likeliest, or drawn by inverting the distribution.

    Tokens are ranked by probability; the smallest set whose probability reaches `top_p` is drawn from. `numbers`
    in [0, 1), one a row, pick the token at that share of the set's probability. EngineError where a row has no number
    to choose by: whatever a broken model then writes is no completion.
    """
    import torch

    # The largest of a row is NaN where any of it is.
    if not torch.isfinite(logits.amax(dim=-1)).all():
        raise EngineError(
            "the model gave logits that are not numbers; its weights or activations are broken (NaN or overflow). "
            "Check the checkpoint, or use dtype float32"
        )
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
