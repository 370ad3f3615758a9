"""Scoring lines of tokens over HTTP, split and cut as every engine splits and cuts them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from crushtest.engines.generation import Text
from crushtest.engines.openai.ways.way import Setting
from crushtest.engines.packing import Line
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import Ability, BatchLimits, Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Sampling, Unanswered

Request = TypeVar("Request")
Score = TypeVar("Score")
UNKNOWN_CONTEXT = 4096
ROOM = 2
"""Tokens of a context that a request needs beside those it scores: the last one, and one that is written."""


@dataclass
class ServedTokens:
    """A `TokenModel` that scores each line by a function of its own, given its tokens."""

    setting: Setting
    tokenizer: Tokenizer
    score_line: Callable[[Line], float]
    can: frozenset[Ability] = frozenset({"scores"})

    @property
    def context(self) -> int:
        """Tokens that the server takes, without those that every request needs."""
        return max((self.setting.server.context or UNKNOWN_CONTEXT) - ROOM, 1)

    @property
    def batch(self) -> BatchLimits:
        """One prompt: the server makes batches of its own."""
        return BatchLimits(1, self.context)

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield each group's log-likelihoods."""
        for index, group in enumerate(groups):
            if index not in done:
                yield index, [self.score_line(line) for line in group]

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Refuse: servers draw for themselves."""
        raise EngineError("a served model draws its completions itself")

    def describe(self) -> dict[str, Any]:
        """Return the model's name."""
        return {"model": self.setting.server.model}

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        """Yield the scores of each request, several requests at once."""
        return self._each(requests, lambda engine, request: next(engine.choices([request])))

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield the score of each text, several texts at once."""
        return self._each(requests, lambda engine, request: next(engine.passages([request])))

    def _each(
        self,
        requests: Sequence[Request],
        ask: Callable[[TokenEngine[ServedTokens], Request], tuple[int, Score]],
    ) -> Iterator[tuple[int, Score | Unanswered]]:
        # Each request by itself, its tokens included: what fails is one answer, and the first ones come at once.
        def job(request: Request) -> Score:
            engine = TokenEngine(self)
            _, score = ask(engine, request)
            self.setting.truncated.append(engine.truncated)
            return score

        return self.setting.each(requests, job)
