"""Predictions for tasks of choices: `{"item": ID, "answer": INDEX}` or `{"item": ID, "scores": [...]}`.

null in place of the index or the list says that there was no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crushtest.metrics import Metric
from crushtest.predictions.reading import Missing, NotParsed, numbers
from crushtest.records import Answer, Choices, ChoiceScores, Item


@dataclass
class Predicted:
    """Items that a file predicts, in its order, and the answers it gives (no entry where it gives none).

    missing  items that it has no line for, of those it is about: at the end of `items` too, and without an answer
    metrics  what to report of them; None: the task's metrics with its default options
    partial  whether items may lack a line: the task is often answered in part
    """

    items: list[Item] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)
    metrics: tuple[Metric, ...] | None = None
    partial: bool = False

    def add(self, item: Item, answer: ChoiceScores | None) -> None:
        """Take an item and its answer."""
        self.items.append(item)
        if answer is not None:
            self.answers[item.id] = answer

    def lacks(self, about: Mapping[str, Item]) -> None:
        """Take in which of the items (by id) that the file is about have no line."""
        named = {item.id for item in self.items}
        missing = [item for name, item in about.items() if name not in named]
        self.missing = Missing(tuple(item.id for item in missing), len(about))
        self.items += missing


def read_choice(item: Item, line: Mapping[str, Any]) -> ChoiceScores | None:
    """The answer that a line gives to an item; None for no answer. Raises NotParsed."""
    assert isinstance(item.request, Choices)
    options = item.request.options
    if "scores" in line:
        scores = numbers(line["scores"], len(options), name="scores")
        return None if scores is None else as_scores(scores, options)
    if "answer" not in line:
        raise NotParsed("it needs answer or scores")
    answer = line["answer"]
    if answer is None:
        return None
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        raise NotParsed(f"answer must be an index below {len(options)} or null")
    return as_scores([0.0 if index == answer else -1.0 for index in range(len(options))], options)


def example(item: str) -> str:
    """A line for an item, as a message shows it."""
    return json.dumps({"item": item, "answer": 0}, ensure_ascii=False) + ' (or "scores": one number an option)'


def as_scores(scores: Sequence[float], options: Sequence[str]) -> ChoiceScores:
    """Scores in place of log-likelihoods. How many tokens an option has is not known: 1 each."""
    return ChoiceScores(tuple(scores), (1,) * len(options), tuple(len(option.encode()) for option in options))
