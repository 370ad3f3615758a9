"""Which option an answer chooses: the likeliest, if there is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from crushtest.records import ChoiceScores

Chosen = Callable[[ChoiceScores], int]
"""A rule by which an answer picks an option."""


class NoChoice(ValueError):
    """The scores of the options choose none of them; the message says why."""


TIED = "options are tied: no score is the highest"
NOT_FINITE = "the model's numbers are not finite"


def choice(answer: ChoiceScores, lengths: Sequence[int] | None = None) -> int:
    """Return the index of the option with the highest log-likelihood, divided by its length if lengths are given.

    An option of length 0 counts as of length 1. Raises NoChoice if the highest is that of several options, which says
    nothing about any of them, and if a log-likelihood is not a number or infinite upwards.
    """
    values = answer.logprobs
    if lengths is not None:
        values = tuple(value / max(1, length) for value, length in zip(values, lengths, strict=True))
    return highest(values)


def highest(values: Sequence[float]) -> int:
    """Return the index of the highest value. Raises NoChoice as `choice` does."""
    total = sum(values)
    if total != total or total == math.inf:
        raise NoChoice(NOT_FINITE)
    top = max(values)
    if values.count(top) > 1:
        raise NoChoice(TIED)
    return values.index(top)


def choice_per_byte(answer: ChoiceScores) -> int:
    """Return the index of the option with the highest log-likelihood per UTF-8 byte. Raises NoChoice."""
    return choice(answer, answer.bytes)


def choice_per_token(answer: ChoiceScores) -> int:
    """Return the index of the option with the highest log-likelihood per token. Raises NoChoice."""
    return choice(answer, answer.tokens)


@lru_cache(maxsize=1000)
def as_scores(pick: int, options: int) -> ChoiceScores:
    """Return scores by which an option is picked, however options are compared. Their numbers mean nothing else."""
    return ChoiceScores(tuple(float(option == pick) - 1 for option in range(options)), (1,) * options, (1,) * options)
