"""Names: the rooms that judge and report know no task or metric by name, and a test's name is short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from crushtest.errors import UsageError
from crushtest.metrics import reported_names
from crushtest.registry import TASKS, Entry
from crushtest.tasks.base import Task

SOURCE = Path(__file__).parents[1] / "src" / "crushtest"
ROOMS = ("stats", "report", "gate", "compress")
TESTS = Path(__file__).parent
LONGEST_TEST_NAME = 70
ALLOWED = {
    # a unit, and in the plots the key of one of them
    "perplexity": (
        "stats/contrasts.py",
        "stats/false_improvements.py",
        "stats/fluency.py",
        "stats/hidden_harm.py",
        "report/change.py",
        "report/dialect.py",
        "report/figures/marks.py",
        "report/figures/scatter.py",
        "report/formats.py",
        "report/shading.py",
    ),
    # a style of the terminal
    "bold": ("report/terminal.py",),
}


def built(entry: Entry) -> Iterator[Task]:
    """A task with its default options, and with every value of each option that has a list of them."""
    settings = [{}, *({name: value} for name, about in options(entry) for value in values(about))]
    for given in settings:
        for path in ({}, {"path": "nowhere"}):
            try:
                yield entry.function(**entry.bind(given | path))
                break
            except UsageError:
                continue


def options(entry: Entry) -> list[tuple[str, dict[str, object]]]:
    return list(entry.describe()["options"].items())


def values(about: dict[str, object]) -> list[object]:
    enum = about.get("enum")
    return enum if isinstance(enum, list) else []


@cache
def names() -> frozenset[str]:
    tasks = [(entry.name, task) for entry in TASKS for task in built(entry)]
    metrics = {name for _, task in tasks for metric in task.metrics for name in reported_names(metric)}
    return frozenset({entry.name for entry in TASKS} | metrics)


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_names_that_only_an_option_brings_are_searched_for_too() -> None:
    assert {"xu2024_mu", "word_perplexity", "kl_mean_at_least", "death_rate_gap", "bias_ambiguous_worst"} <= names()


@pytest.mark.parametrize("room", ROOMS)
def test_no_task_or_metric_is_known_by_name(room: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line} {text!r}"
        for path in sorted((SOURCE / room).rglob("*.py"))
        for line, text in literals(path)
        if text.rstrip("_") in names() and str(path.relative_to(SOURCE)) not in ALLOWED.get(text, ())
    ]
    assert not found, "declare it on the metric (role, side, ...) or the task instead:\n" + "\n".join(found)


def test_no_test_has_a_long_name() -> None:
    long = [
        f"{path.relative_to(TESTS)}:{node.lineno} {node.name}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > LONGEST_TEST_NAME
    ]
    assert not long, f"at most {LONGEST_TEST_NAME} characters:\n" + "\n".join(long)
