"""Scoring lines of tokens over HTTP, split and cut as every engine splits and cuts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crushtest.engines.generation import Text
from crushtest.engines.openai.ways.way import Setting
from crushtest.engines.packing import Line
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import Ability, BatchLimits, Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Sampling, Unanswered

Score = TypeVar("Score")
UNKNOWN_CONTEXT = 4096
ROOM = 2
"""Tokens of a context that a request needs beside those it scores: the last one, and one that is written."""


@dataclass
class ServedTokens:
    """A `TokenModel` that scores each line by a function of its own; a line that cannot be scored gets NaN.

    score_line  the log-likelihood of a line in nats
    reasons     why a group has NaN, until it is asked
    """

    setting: Setting
    tokenizer: Tokenizer
    score_line: Callable[[Line], float]
    reasons: dict[int, str] = field(default_factory=dict)
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
        """Yield each group's log-likelihoods as the server gives them."""
        jobs = (
            (index, lambda group=group: [self.score_line(line) for line in group])
            for index, group in enumerate(groups)
            if index not in done
        )
        for index, values in self.setting.client.in_parallel(jobs, self.setting.concurrency):
            if isinstance(values, str):
                self.reasons[index] = values
                values = [math.nan] * max(len(groups[index]), 1)
            yield index, values

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Refuse: servers draw for themselves."""
        raise EngineError("a served model draws its completions itself")

    def describe(self) -> dict[str, Any]:
        """Return the model's name."""
        return {"model": self.setting.server.model}


def or_reasons(model: ServedTokens, scored: Iterator[tuple[int, Score]]) -> Iterator[tuple[int, Score | Unanswered]]:
    """Yield answers, and in place of those that are NaN the reason."""
    for index, score in scored:
        reason = model.reasons.pop(index, None)
        yield index, score if reason is None else Unanswered(reason)


def choices(model: ServedTokens, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
    """Yield the scores of each request."""
    return or_reasons(model, TokenEngine(model).choices(requests))


def passages(model: ServedTokens, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
    """Yield the score of each text."""
    return or_reasons(model, TokenEngine(model).passages(requests))
