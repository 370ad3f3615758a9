"""Completions by a network's own forward pass and cache, for models that cannot be run in packs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from crushtest.engines.generation import Text, choose, extend
from crushtest.engines.hf.likelihood import LOGITS, forget_longer_lines, vocabulary_size
from crushtest.engines.hf.own_attention import attending_around
from crushtest.engines.hf.tokenizer import ends_of
from crushtest.engines.token_model import Tokenizer
from crushtest.models.devices import input_device
from crushtest.records import Completion, Sampling

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.engines.hf.kv_cache import BlockCache
    from crushtest.models.load import LoadedModel

    Chooser: TypeAlias = Callable[[int, Tensor], Tensor]
    """Returns the next token of each row from the number of the step and the logits [rows, vocabulary]."""


def continue_cached(
    model: LoadedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Text],
    sampling: Sampling,
    kv: BlockCache | None = None,
) -> Iterator[tuple[int, Completion]]:
    """Yield the completions of one batch by transformers' own generation; keys and values are read as `kv` stores them.

    Prompts of several lengths are padded on the left.
    """
    ends = end_tokens(model)

    def chosen(step: int, logits: Tensor) -> Tensor:
        return choose(logits, sampling, [text.draws[step] for text in texts])

    with attending_around(model.network, None if kv is None else kv.around):
        written = generate(model.network, prompts, sampling.max_tokens, ends, chosen)
    for text, row in zip(texts, written, strict=True):
        ended = (extend(text, token, ends, tokenizer, sampling) for token in row)
        yield text.index, next(completion for completion in ended if completion is not None)


def generate(
    network: PreTrainedModel, prompts: Sequence[Sequence[int]], count: int, ends: set[int], choose: Chooser
) -> list[list[int]]:
    """Return the tokens that transformers' own generation appends to each prompt, each as `choose` chooses it."""
    import torch
    from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

    class Chosen(LogitsProcessor):
        """Leaves the chosen token as the only one possible."""

        def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
            token = choose(input_ids.shape[1] - width, scores)
            only = torch.full_like(scores, float("-inf"))
            return cast("torch.FloatTensor", only.scatter_(1, token[:, None], 0.0))

    device, width = input_device(network), max(map(len, prompts))
    tokens = np.zeros((len(prompts), width), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = prompt
    present = np.array([[place >= width - len(prompt) for place in range(width)] for prompt in prompts], dtype=np.int64)
    settings = cast(Any, GenerationConfig)(
        max_new_tokens=count, do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=0
    )
    with without_own_settings(network):
        written = cast(Any, network).generate(
            input_ids=torch.from_numpy(tokens).to(device),
            attention_mask=torch.from_numpy(present).to(device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([Chosen()]),
        )
    return cast("list[list[int]]", written[:, width:].tolist())


@dataclass
class PlainDecoder:
    """Reads every line anew for each token: slow, and what the network's own forward pass gives by definition.

    lines  most rows that are run at once; these have one length, so that nothing is padded
    """

    network: PreTrainedModel
    lines: int
    kv: BlockCache | None = None
    _rows: list[list[int]] = field(default_factory=list)

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Return the logits of each prompt's next token."""
        self._rows = [list(prompt) for prompt in prompts]
        return self._logits()

    def step(self, tokens: Tensor) -> Tensor:
        """Return the logits of what follows these tokens."""
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.append(token)
        return self._logits()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows."""
        self._rows = [self._rows[row] for row in rows.tolist()]

    def _logits(self) -> Tensor:
        import torch

        device = input_device(self.network)
        longest = max(map(len, self._rows))
        most = max(min(self.lines, 8 * LOGITS // (vocabulary_size(self.network) * longest)), 1)
        pieces: list[tuple[int, Tensor]] = []
        with torch.inference_mode(), attending_around(self.network, None if self.kv is None else self.kv.around):
            for together in by_length(self._rows, most):
                forget_longer_lines(self.network)
                tokens = torch.tensor([self._rows[row] for row in together], device=device)
                logits = self.network(input_ids=tokens, use_cache=False).logits[:, -1]
                pieces += zip(together, logits, strict=True)
        return torch.stack([logits for _, logits in sorted(pieces, key=lambda piece: piece[0])])


def by_length(prompts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Return the prompts' indexes in groups of one length, each of at most `most`."""
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    groups = [list(members) for _, members in groupby(order, key=lambda index: len(prompts[index]))]
    return [group[first : first + most] for group in groups for first in range(0, len(group), most)]


@contextmanager
def without_own_settings(network: Any) -> Iterator[None]:
    """Put a network's own generation settings aside.

    transformers takes from them what a call leaves open, a repetition penalty for one, and packed generation does not.
    """
    from transformers import GenerationConfig

    own, network.generation_config = network.generation_config, cast(Any, GenerationConfig)()
    try:
        yield
    finally:
        network.generation_config = own


def end_tokens(model: LoadedModel) -> set[int]:
    """Return the tokens that end a text of a model."""
    return set(ends_of(getattr(model.network, "generation_config", None), model.tokenizer))
