"""An engine without a model, for tests and for trying a study: answers are made from a hash of the question."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from crushtest.engines.base import Reference
from crushtest.engines.fake.planted import Wording, planted
from crushtest.errors import EngineError
from crushtest.records import (
    Answer,
    Choices,
    ChoiceScores,
    Completion,
    Passage,
    PassageScore,
    Prompt,
    Request,
    Sampling,
)
from crushtest.registry import engine

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel

WORDS = ("the", "people", "of", "this", "town", "were", "kind", "and", "often", "said", "so", "to", "each", "other")

Asked = TypeVar("Asked", Choices, Passage, Prompt)


@dataclass
class FakeEngine:
    """Gives pseudo-random answers, the same for the same request and seed in any process and any order.

    respond   given a request, returns the answer to give instead, or None
    delay_s   time slept before every answer, as by a slow model
    fail_at   number of the answer (over the engine's life, from 0) that is an EngineError, as by a crash
    asked     how often each request was answered
    """

    seed: int = 0
    respond: Callable[[Request], Answer | None] | None = None
    delay_s: float = 0.0
    fail_at: int | None = None
    asked: Counter[Request] = field(default_factory=Counter)

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, ChoiceScores]]:
        """Yield log-likelihoods between -5 nats per word and 0."""
        yield from self._answers(requests, done, self._choice_scores)

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, PassageScore]]:
        """Yield log-likelihoods between -5 nats per word and 0; a word is a token."""
        yield from self._answers(requests, done, self._passage_score)

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion]]:
        """Yield a few common words, at most `sampling.max_tokens`."""
        yield from self._answers(requests, done, lambda prompt: self._completion(prompt, sampling))

    def attach_reference(self, reference: Reference | None) -> None:
        """Ignore it: divergences are hashes of the request as well."""

    def describe(self) -> dict[str, Any]:
        """Return that no model ran."""
        return {"engine": "fake", "model": None, "seed": self.seed, "scoring": "hash of the request"}

    def _answers(
        self, requests: Sequence[Asked], done: Container[int], answer: Callable[[Asked], Any]
    ) -> Iterator[tuple[int, Any]]:
        for index, request in enumerate(requests):
            if index in done:
                continue
            if self.delay_s:
                time.sleep(self.delay_s)
            if self.fail_at is not None and self.asked.total() >= self.fail_at:
                raise EngineError(f"engine 'fake': fails at answer {self.fail_at}")
            self.asked[request] += 1
            response = self.respond(request) if self.respond else None
            yield index, answer(request) if response is None else response

    def _random(self, request: Request | str) -> random.Random:
        # A string seeds through SHA-512, so it does not vary between processes as hash() does.
        return random.Random(f"{self.seed} {request!r}")

    def _choice_scores(self, request: Choices) -> ChoiceScores:
        generator = self._random(request)
        tokens = tuple(max(1, len(option.split())) for option in request.options)
        logprobs = tuple(-5.0 * count * generator.random() for count in tokens)
        return ChoiceScores(logprobs, tokens, tuple(len(option.encode()) for option in request.options))

    def _passage_score(self, request: Passage) -> PassageScore:
        tokens = len(request.text.split())
        generator = self._random(request)
        logprob, size = -5.0 * tokens * generator.random(), len(request.text.encode())
        if not request.against_dense:
            return PassageScore(logprob, tokens, size)
        return PassageScore(logprob, tokens, size, tuple(generator.random() for _ in range(tokens)), tokens // 2)

    def _completion(self, request: Prompt, sampling: Sampling) -> Completion:
        system = "" if request.system is None else f" {request.system!r}"
        generator = self._random(f"{request!r}{system} {sampling!r}")
        count = generator.randint(0, sampling.max_tokens)
        text = "".join(f" {generator.choice(WORDS)}" for _ in range(count))
        return Completion(text, count, "length" if count == sampling.max_tokens else "eos")


@engine(
    "fake",
    runs="no model: answers made from a hash of the question",
    answers=("choices", "passages", "prompts"),
    has_model=False,
)
def fake(
    model: str | LoadedModel,
    *,
    seed: int = 0,
    delay_s: float = 0.0,
    fail_at: int | None = None,
    refuses: str | None = None,
    wording: Wording = "plain",
) -> FakeEngine:
    """Deterministic pseudo-random answers, whatever model is named.

    refuses   a regular expression: it refuses the prompts in which that is found and answers the others, in sentences
              (`.` refuses all, `(?!)` none). None: it writes a few common words
    wording   how it then writes: `plain`, in `other` words, or `broken`, which is no language
    """
    return FakeEngine(seed, None if refuses is None else planted(refuses, wording), delay_s, fail_at)
