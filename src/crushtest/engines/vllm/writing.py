"""Completions that vLLM draws, cut where this project's completions end."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from typing import Any

from crushtest.engines.generation import BROKEN, Text, extend
from crushtest.engines.token_model import Tokenizer
from crushtest.engines.vllm.scoring import answers, empty_cache
from crushtest.errors import EngineError
from crushtest.records import Completion, Sampling


def continue_batch(
    llm: Any,
    tokenizer: Tokenizer,
    ends: frozenset[int],
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Text],
    sampling: Sampling,
) -> Iterator[tuple[int, Completion]]:
    """Yield the completions of one batch, which begins with an empty cache; vLLM draws each with the seed of its text.

    ends  tokens that end a text
    """
    from vllm import SamplingParams

    empty_cache(llm)
    settings = [
        SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=text.seed,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            stop_token_ids=sorted(ends),
            # All tokens that end a text are among `ends`.
            ignore_eos=True,
            detokenize=bool(sampling.stop),
            # Of the tokens that are written: that is how a broken model shows.
            logprobs=0,
            flat_logprobs=True,
        )
        for text in texts
    ]
    asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
    for text, output in zip(texts, answers(llm, asked, settings), strict=True):
        yield text.index, completion(output.outputs[0], text, ends, tokenizer, sampling)


def completion(written: Any, text: Text, ends: Container[int], tokenizer: Tokenizer, sampling: Sampling) -> Completion:
    """Return what vLLM wrote as a completion. It ends by the rules of the other engines, which read the same tokens."""
    tokens = list(written.token_ids)
    if any(math.isnan(written.logprobs[place][token].logprob) for place, token in enumerate(tokens)):
        raise EngineError(BROKEN)
    for token in tokens:
        if ended := extend(text, token, ends, tokenizer, sampling):
            return ended
    # vLLM ended it by a stop string that its own way of turning tokens into text found, and ours did not.
    return Completion(str(written.text), len(tokens), "stop")
