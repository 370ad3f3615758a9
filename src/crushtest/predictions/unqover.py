"""Read predictions for UnQover: `{"item": KEY, "q0": [p0, p1], "q1": [p0, p1]}`, with null for no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, log
from pathlib import Path
from typing import Any, get_args

from crushtest.metrics import Metric
from crushtest.predictions.choices import Predicted
from crushtest.predictions.reading import LONGEST_ID, NotParsed, Problems, numbers, read_lines
from crushtest.printing import quoted
from crushtest.records import ChoiceScores
from crushtest.tasks.unqover.generate import Category, Examples, read_examples
from crushtest.tasks.unqover.unqover import question, unqover

EXAMPLE = '{"item": "KEY", "q0": [0.31, 0.22], "q1": [0.18, 0.40]}, KEY as the task\'s generator writes it'


def read(path: Path, problems: Problems) -> Predicted:
    """Return the items that a file predicts, two questions each, their answers, and the metrics of their categories."""
    problems.example = EXAMPLE
    predicted = Predicted(partial=True)
    categories: list[Category] = []
    sets: dict[Category, Examples] = {}
    seen: set[str] = set()
    for line_number, line in read_lines(path, problems):
        try:
            key = line.get("item")
            if not isinstance(key, str):
                raise NotParsed("no item")
            answers = [_answer(line, name) for name in ("q0", "q1")]
        except NotParsed as error:
            problems.not_parsed.append(f"line {line_number} ({error})")
            continue
        place = _find(key, sets)
        if place is None:
            problems.unknown.append(f"{quoted(key, LONGEST_ID)} (line {line_number})")
        elif key in seen:
            problems.duplicate.append(f"{quoted(key, LONGEST_ID)} (line {line_number})")
        else:
            seen.add(key)
            category, number = place
            if category not in categories:
                categories.append(category)
            for which, answer in enumerate(answers):
                predicted.add(question(category, sets[category], number, which, detail=True), answer)
    made = unqover(categories=tuple(categories) or ("religion",), detail=True)
    predicted.metrics = tuple(_presented(metric) for metric in made.metrics)
    return predicted


def _presented(metric: Metric) -> Metric:
    """Return the metric under its name in the paper, and report it for categories if it is reported for `all`."""
    return replace(
        metric,
        name=metric.name.replace("subject_eta", "eta"),
        groups=lambda group: metric.groups(group) or (metric.groups("all") and group.startswith("category=")),
    )


def _find(key: str, sets: dict[Category, Examples]) -> tuple[Category, int] | None:
    """Return a key's category and number. A category's word lists are read once a key is in none of those before."""
    category: Category
    for category in get_args(Category):
        if category not in sets:
            sets[category] = read_examples(category)
        number = sets[category].find(key)
        if number is not None:
            return category, number
    return None


def _answer(line: Mapping[str, Any], name: str) -> ChoiceScores | None:
    if name not in line:
        raise NotParsed(f"no {name}")
    shares = numbers(line[name], 2, name=name)
    if shares is None:
        return None
    if not all(0 <= share <= 1 for share in shares):
        raise NotParsed(f"{name} must be probabilities")
    first, second = (log(share) if share > 0 else -inf for share in shares)
    return ChoiceScores((first, second), (1, 1), (1, 1))
