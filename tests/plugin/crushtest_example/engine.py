"""An engine without weights, whose models are two rules: `longest` and `shortest`."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Prompt, Sampling
from crushtest.registry import engine

NATS_PER_CHARACTER = {"longest": 1.0, "shortest": -1.0}


@dataclass
class ByLength:
    """Prefers the longest or the shortest option; continues a prompt with its last word, the shortest one shouting."""

    model: str

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, ChoiceScores]]:
        """Log-likelihoods between -100 and 0, in proportion to the length of an option."""
        for index, request in enumerate(requests):
            if index not in done:
                sizes = [len(option.encode()) for option in request.options]
                logprobs = tuple(NATS_PER_CHARACTER[self.model] * min(size, 50) - 50 for size in sizes)
                yield index, ChoiceScores(logprobs, (1,) * len(sizes), tuple(sizes))

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, PassageScore]]:
        """Refuse: a rule about options says nothing of a text."""
        raise EngineError("engine 'by_length' answers no passages")

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion]]:
        """One word per prompt."""
        for index, request in enumerate(requests):
            if index not in done:
                word = (request.text.split() or ["nothing"])[-1]
                yield index, Completion(f" {word.upper() if self.model == 'shortest' else word}", 1, "eos")

    def describe(self) -> dict[str, Any]:
        """The rule."""
        return {"engine": "by_length", "model": self.model, "scoring": "length of the option"}


@engine("by_length", runs="no model: one of the rules `longest` and `shortest`", answers=("choices", "prompts"))
def by_length(model: str) -> ByLength:
    """Prefer the longest or the shortest option, as the model's name says."""
    if model not in NATS_PER_CHARACTER:
        raise EngineError(f"engine 'by_length': model must be 'longest' or 'shortest' (got {model!r})")
    return ByLength(model)
