"""Predictions for BBQ: by item, or as sample logs of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from crushtest.errors import DataError
from crushtest.predictions import harness
from crushtest.predictions.choices import Predicted, example, read_choice
from crushtest.predictions.reading import LONGEST_ID, NotParsed, Problems, read_lines
from crushtest.printing import quoted
from crushtest.records import Item
from crushtest.tasks.bbq.bbq import CATEGORIES, Category, biased_answers, item_of, read_items, read_rows
from crushtest.tasks.bbq.stereotypes import second_traits


def read(path: Path, problems: Problems) -> Predicted:
    """Return the items that a file predicts, and their answers.

    A file is about every item of the categories from which it names one. A log is about the items it holds.
    """
    problems.example = example("Age/0")
    items = _Items()
    predicted = Predicted(partial=True)
    seen: set[str] = set()
    lines = list(read_lines(path, problems))
    logged = _logged_items(line for _, line in lines if harness.is_sample(line))
    for number, line in lines:
        try:
            sample = harness.is_sample(line)
            name = _name(harness.row_of(line) if sample else line, sample)
            item = logged.get(name) if sample else items.find(name)
            if item is None:
                problems.unknown.append(f"{quoted(name, LONGEST_ID)} (line {number})")
            elif name in seen:
                problems.duplicate.append(f"{quoted(name, LONGEST_ID)} (line {number})")
            else:
                predicted.add(item, harness.answer_of(line) if sample else read_choice(item, line))
                seen.add(name)
        except NotParsed as error:
            problems.not_parsed.append(f"line {number} ({error})")
    if not logged:
        predicted.lacks(items.of_categories({item.id.partition("/")[0] for item in predicted.items}))
    return predicted


class _Items:
    """BBQ's items by id. A category is read when the first of its items is looked up."""

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
        """Return all items of these categories, as far as they have been read."""
        return {
            name: item
            for category, items in self._by_category.items()
            if category in categories
            for name, item in items.items()
        }


def _logged_items(lines: Iterable[dict[str, Any]]) -> dict[str, Item]:
    """Build the items from the log itself, because its edition of the text may differ from the file here."""
    rows: dict[Category, dict[int, dict[str, Any]]] = {}
    for line in lines:
        try:
            row = harness.row_of(line)
        except NotParsed:
            continue  # reported when the line is read for its answer
        if row["category"] in CATEGORIES:
            rows.setdefault(row["category"], {})[row["example_id"]] = row
    items: dict[str, Item] = {}
    for category, by_example in rows.items():
        listed = list(by_example.values())
        biased = biased_answers(listed, category, seconds=_seconds(category, listed))
        for row in listed:
            item = item_of(row, (f"category={category}",), biased[row["example_id"]])
            items[item.id] = item
    return items


def _seconds(category: Category, logged: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return second traits from the complete file if it is here, because a log may hold only some of its items."""
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
