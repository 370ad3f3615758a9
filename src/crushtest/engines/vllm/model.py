"""A model that scores and continues in vLLM."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crushtest.engines.generation import Text
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.likelihood import Part, score_groups
from crushtest.engines.packing import Line
from crushtest.engines.thinking import Thinking, with_thinking
from crushtest.engines.token_model import Ability, BatchLimits
from crushtest.engines.vllm.loading import Running, shut_down
from crushtest.engines.vllm.program import Settings
from crushtest.engines.vllm.scoring import CachedLogLikelihood
from crushtest.engines.vllm.trial import why_not_shared
from crushtest.engines.vllm.writing import continue_batch
from crushtest.records import Completion, Sampling

ROOM = 2
"""Tokens of a context that every request needs beside those it reads: the last one, and one that is written."""


@dataclass
class VllmModel:
    """Scores and continues with vLLM.

    ends      tokens that end a text
    unshared  why prefixes are not shared; None if they are
    running   how vLLM runs it, in words
    facts     of the model and of what runs it, for the manifest
    """

    likelihood: CachedLogLikelihood
    tokenizer: HfTokenizer
    ends: frozenset[int]
    context: int
    batch: BatchLimits
    unshared: str | None
    running: str
    facts: dict[str, Any]

    @property
    def can(self) -> frozenset[Ability]:
        """Scores and continuations. vLLM gives no whole distributions."""
        return frozenset({"scores", "first_token", "generates"})

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield each group's log-likelihoods."""
        return score_groups(self.likelihood, groups, done)

    def layout(self, groups: Sequence[Sequence[Line]]) -> Sequence[Part]:
        """Return the parts that are asked of vLLM at once."""
        return self.likelihood.plan([line for group in groups for line in group])

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the completions of one batch."""
        return continue_batch(self.likelihood.llm, self.tokenizer, self.ends, prompts, texts, sampling)

    def read_to_continue(self, prompts: Sequence[Sequence[int]]) -> int:
        """Return the tokens of prompts; those that vLLM's cache spares it are not known before it runs."""
        return sum(map(len, prompts))

    def close(self) -> None:
        """End vLLM, which would keep its share of the memory from the next one."""
        llm, self.likelihood = self.likelihood.llm, replace(self.likelihood, llm=None)
        if llm is not None:
            shut_down(llm)

    def describe(self) -> dict[str, Any]:
        """Return the facts, and the path that scoring takes."""
        block = self.likelihood.store.block
        path = self.unshared or f"prefixes shared by vLLM's cache, in blocks of {block} tokens"
        return {
            "engine": "vllm",
            **self.facts,
            "scoring": f"{path}; {self.running}",
            "sampling": {"drawn": "by vLLM", "added": {}},
        }


def model_of(
    model: str, running: Running, settings: Settings, *, share: bool, thinking: Thinking | None = None
) -> VllmModel:
    """Return the model that scores and continues with a vLLM that runs, sharing prefixes if a trial allows it."""
    alone = CachedLogLikelihood(running.llm, running.store, shares=False)
    sharing = replace(alone, shares=True)
    tokenizer = with_thinking(HfTokenizer(running.tokenizer), thinking, f"model {model!r}")
    context = running.context - ROOM
    unshared: str | None = "every line by itself"
    if share and running.groups is None:
        unshared = "every line by itself: vLLM runs in another process and does not say how many blocks a line takes"
    elif share:
        unshared = why_not_shared(sharing, alone, tokenizer, context=context, dtype=running.facts["dtype"])
    compiled = ", not compiled" if settings.eager else ""
    return VllmModel(
        likelihood=alone if unshared else sharing,
        tokenizer=tokenizer,
        ends=running.ends,
        context=context,
        batch=BatchLimits(settings.batch_size, running.store.blocks * running.store.block),
        unshared=unshared,
        running=f"{settings.batch} tokens at once, kv {settings.kv}{compiled}",
        facts={"model": model, **running.facts},
    )
