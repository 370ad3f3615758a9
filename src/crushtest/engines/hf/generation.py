"""Completions by transformers' own generation, for models that cannot be run in packs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from crushtest.engines.generation import Text, choose, extend
from crushtest.engines.token_model import Tokenizer
from crushtest.records import Completion, Sampling

if TYPE_CHECKING:
    import torch

    from crushtest.models.load import LoadedModel


def continue_plainly(
    model: LoadedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Text],
    sampling: Sampling,
) -> Iterator[tuple[int, Completion]]:
    """Yield the completions of one batch."""
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
    with without_own_settings(network):
        written = network.generate(
            input_ids=torch.from_numpy(tokens).to(device),
            attention_mask=torch.from_numpy(present).to(device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([Chosen()]),
        )
    for text, row in zip(texts, written[:, width:].tolist(), strict=True):
        ended = (extend(text, token, ends, tokenizer, sampling) for token in row)
        yield text.index, next(completion for completion in ended if completion is not None)


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
    """Return the tokens that end a text: those of the model's generation settings, and the tokenizer's."""
    settings = getattr(model.network, "generation_config", None)
    named = [getattr(settings, "eos_token_id", None), model.tokenizer.eos_token_id]
    flat = [token for entry in named for token in (entry if isinstance(entry, list) else [entry])]
    return {int(token) for token in flat if token is not None}
