"""Predictions for tasks of choices: `{"item": ID, "answer": INDEX}` or `{"item": ID, "scores": [...]}`.

null instead of the index or the list means that there was no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crushtest.metrics import Metric
from crushtest.predictions.reading import LONGEST_ID, Missing, NotParsed, Problems, numbers, read_lines
from crushtest.printing import quoted
from crushtest.records import Answer, Choices, ChoiceScores, Item


@dataclass
class Predicted:
    """The items that a file predicts, in its order, and their answers; an item may have none.

    missing  the items that the file is about but has no line for; they stand at the end of `items`, without an answer
    metrics  what to report; None: the task's metrics with its default options
    partial  whether items may lack a line, because the task is often answered in part
    picked   the items whose line names an option and gives no scores
    """

    items: list[Item] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)
    metrics: tuple[Metric, ...] | None = None
    partial: bool = False
    picked: set[str] = field(default_factory=set)

    def add(self, item: Item, answer: ChoiceScores | None) -> None:
        """Add an item and its answer."""
        self.items.append(item)
        if answer is not None:
            self.answers[item.id] = answer

    def lacks(self, items: Mapping[str, Item]) -> None:
        """Add those of the items (by id) that the file is about but has no line for."""
        predicted = {item.id for item in self.items}
        missing = [item for name, item in items.items() if name not in predicted]
        self.missing = Missing(tuple(item.id for item in missing), len(items))
        self.items += missing


def read_choice(item: Item, line: Mapping[str, Any]) -> ChoiceScores | None:
    """Return the answer that a line gives to an item; None for no answer.

    Raises NotParsed, also for scores that do not have the largest at the answer beside them.
    """
    assert isinstance(item.request, Choices)
    options = item.request.options
    if "scores" in line:
        scores = numbers(line["scores"], len(options), name="scores")
        if "answer" in line:
            _agree(line["answer"], scores)
        return None if scores is None else as_scores(scores, options)
    if "answer" not in line:
        raise NotParsed("it needs answer or scores")
    answer = line["answer"]
    if answer is None:
        return None
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        raise NotParsed(f"answer must be an index below {len(options)} or null")
    return as_scores([0.0 if index == answer else -1.0 for index in range(len(options))], options)


def read_choices(items: Sequence[Item], path: Path, problems: Problems) -> Predicted:
    """Read predictions for items of choices, by their ids. A file is about all of them."""
    by_id = {item.id: item for item in items}
    problems.example = example(next(iter(by_id)))
    predicted = Predicted()
    seen: set[str] = set()
    for number, line in read_lines(path, problems):
        name = line.get("item")
        if not isinstance(name, str):
            problems.not_parsed.append(f"line {number} (no item)")
        elif name not in by_id:
            problems.unknown.append(f"{quoted(name, LONGEST_ID)} (line {number})")
        elif name in seen:
            problems.duplicate.append(f"{quoted(name, LONGEST_ID)} (line {number})")
        else:
            try:
                predicted.add(by_id[name], read_choice(by_id[name], line))
            except NotParsed as error:
                problems.not_parsed.append(f"line {number} ({error})")
                continue
            seen.add(name)
            if "scores" not in line:
                predicted.picked.add(name)
    predicted.lacks(by_id)
    return predicted


def _agree(answer: object, scores: tuple[float, ...] | None) -> None:
    largest = [] if scores is None else [index for index, score in enumerate(scores) if score == max(scores)]
    if answer != (largest[0] if len(largest) == 1 else None) or isinstance(answer, bool):
        by_scores = (
            f"the largest score is that of {' and '.join(map(str, largest))}" if largest else "there are no scores"
        )
        raise NotParsed(f"answer is {quoted(answer, LONGEST_ID)}, but {by_scores}; give one of the two")


def example(item: str) -> str:
    """Return a correct line for an item, to show in a message."""
    return json.dumps({"item": item, "answer": 0}, ensure_ascii=False) + ' (or "scores": one number per option)'


def as_scores(scores: Sequence[float], options: Sequence[str]) -> ChoiceScores:
    """Return scores as if they were log-likelihoods. Token counts are unknown, so each option counts as one token."""
    return ChoiceScores(tuple(scores), (1,) * len(options), tuple(len(option.encode()) for option in options))
