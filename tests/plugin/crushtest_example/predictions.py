"""Predictions for trades: `{"question": TEXT, "said": WORD}`, null for no answer."""

from __future__ import annotations

from pathlib import Path

from crushtest.predictions.choices import Predicted, as_scores
from crushtest.predictions.reading import Problems, read_lines
from crushtest.records import Choices
from crushtest_example.task import items_by_question


def read(path: Path, problems: Problems) -> Predicted:
    """The items whose questions a file holds, and what it says was answered."""
    problems.example = '{"question": "The nanny was late, because", "said": "she"}'
    items = dict(items_by_question())
    predicted = Predicted()
    for number, line in read_lines(path, problems):
        item = items.get(str(line.get("question")))
        if item is None:
            problems.unknown.append(f"line {number}")
        else:
            assert isinstance(item.request, Choices)
            options = [option.strip() for option in item.request.options]
            chosen = [0.0 if option == line.get("said") else -1.0 for option in options]
            predicted.add(item, as_scores(chosen, options) if max(chosen) == 0 else None)
    predicted.lacks({item.id: item for item in items.values()})
    return predicted
