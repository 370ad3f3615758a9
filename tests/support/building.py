"""Small made-up tasks for the statistics: right/wrong answers, numbers, clusters and groups as given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crushtest.metrics import Metric, accuracy, mean
from crushtest.records import Answer, Choices, ChoiceScores, Item

REQUEST = Choices("?", (" right", " wrong"))


def make_items(groups: Sequence[tuple[str, ...]], clusters: Sequence[str] | None = None) -> list[Item]:
    """Items `0`, `1`, ... with these groups; each its own cluster unless given."""
    names = clusters or [f"c{index}" for index in range(len(groups))]
    return [
        Item(str(index), group, cluster, REQUEST, gold=0)
        for index, (group, cluster) in enumerate(zip(groups, names, strict=True))
    ]


def right_or_wrong(outcomes: Sequence[bool]) -> dict[str, Answer]:
    """One answer per item: the right option where True."""
    return {
        str(i): ChoiceScores((1.0, 0.0) if right else (0.0, 1.0), (1, 1), (1, 1)) for i, right in enumerate(outcomes)
    }


def numbers(values: Sequence[float]) -> dict[str, Answer]:
    """Answers whose first log-probability is the number that `number()` reads."""
    return {str(i): ChoiceScores((float(value), 0.0), (1, 1), (1, 1)) for i, value in enumerate(values)}


def number(name: str = "number", **settings: object) -> Metric:
    """Mean of the first option's log-probability."""
    return mean(name, lambda item, answer, score: answer.logprobs[0], **({"better": "lower"} | settings))


def seeded(seed: int = 0) -> np.random.Generator:
    """A generator of its own for every test."""
    return np.random.default_rng(seed)


ACCURACY = accuracy()
