"""Predictions for BBQ: by item, or as sample logs of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from crushtest.errors import DataError
from crushtest.predictions import harness
from crushtest.predictions.choices import Predicted, example, read_choice
from crushtest.predictions.lines import NotParsed, Problems, read_lines
from crushtest.records import Item
from crushtest.tasks.bbq.bbq import CATEGORIES, Category, biased_answers, item_of, read_items, read_rows
from crushtest.tasks.bbq.stereotypes import second_traits


def read(path: Path, problems: Problems) -> Predicted:
    """The items that a file predicts and their answers.

    It is about the categories it names an item of, all of whose items are expected; a log is about what it holds.
    """
    problems.example = example("Age/0")
    known = _Items()
    predicted = Predicted(partial=True)
    seen: set[str] = set()
    lines = list(read_lines(path, problems))
    logged = _logged_items(line for _, line in lines if harness.is_sample(line))
    for number, line in lines:
        try:
            sample = harness.is_sample(line)
            name = _name(harness.row_of(line) if sample else line, sample)
            item = logged.get(name) if sample else known.find(name)
            if item is None:
                problems.unknown.append(f"{name!r} (line {number})")
            elif name in seen:
                problems.duplicate.append(f"{name!r} (line {number})")
            else:
                predicted.add(item, harness.answer_of(line) if sample else read_choice(item, line))
                seen.add(name)
        except NotParsed as error:
            problems.not_parsed.append(f"line {number} ({error})")
    if not logged:
        predicted.lacks(known.of_categories({item.id.partition("/")[0] for item in predicted.items}))
    return predicted


class _Items:
    """Items of the categories that are asked for, read when the first of a category is."""

    def __init__(self) -> None:
        self._by_category: dict[str, dict[str, Item]] = {}

    def find(self, name: str) -> Item | None:
        category = name.partition("/")[0]
        if category not in CATEGORIES:
            return None
        if category not in self._by_category:
            self._by_category[category] = {item.id: item for item in read_items(category)}
        return self._by_category[category].get(name)

    def of_categories(self, categories: Container[str]) -> dict[str, Item]:
        """All items of those of these categories that were asked for."""
        return {
            name: item
            for category, items in self._by_category.items()
            if category in categories
            for name, item in items.items()
        }


def _logged_items(lines: Iterable[dict[str, Any]]) -> dict[str, Item]:
    """The items of a log, from what it says of them: it may hold another edition of the text than the file here."""
    rows: dict[Category, dict[int, dict[str, Any]]] = {}
    for line in lines:
        try:
            row = harness.row_of(line)
        except NotParsed:
            continue  # named when the line is read for its answer
        if row["category"] in CATEGORIES:
            rows.setdefault(row["category"], {})[row["example_id"]] = row
    found: dict[str, Item] = {}
    for category, known in rows.items():
        listed = list(known.values())
        biased = biased_answers(listed, category, seconds=_seconds(category, listed))
        for row in listed:
            item = item_of(row, (f"category={category}",), biased[row["example_id"]])
            found[item.id] = item
    return found


def _seconds(category: Category, logged: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Second traits from the whole file where it is to be had: a log may hold a few items of a question only."""
    try:
        return second_traits(read_rows(category))
    except DataError:
        return second_traits(logged)


def _name(line: dict[str, Any], sample: bool) -> str:
    if sample:
        return f"{line['category']}/{line['example_id']}"
    if not isinstance(line.get("item"), str):
        raise NotParsed("no item")
    return str(line["item"])
