"""probe_facts: well-formed questions, balanced places, and answers checked where they can be computed."""

from __future__ import annotations

import re
from collections import Counter
from itertools import permutations

import pytest

from crushtest.metrics import Metric
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.probes.probe_facts import probe_facts
from support.respondents import choosing, value_of

ITEMS = list(probe_facts().items())
METRICS = {metric.name: metric for metric in probe_facts().metrics}


def asked(item: Item) -> Choices:
    assert isinstance(item.request, Choices)
    return item.request


def right_answer(item: Item) -> str:
    assert item.gold is not None
    return asked(item).options[item.gold].strip()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_every_item_is_well_formed(item: Item) -> None:
    assert re.fullmatch(r"Question: [A-Z][^\n]+\?\nAnswer:", asked(item).context)
    assert len(set(asked(item).options)) == 4
    assert all(re.fullmatch(r" [A-Z0-9]\S*( \S+)*", option) for option in asked(item).options)
    assert item.gold in range(4)
    assert item.cluster == item.id


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_no_option_begins_with_another(item: Item) -> None:
    """The shorter one would be at least as likely whatever the model knows."""
    assert not any(one.startswith(other) for one, other in permutations(asked(item).options, 2))


def test_there_are_about_150_different_questions() -> None:
    assert len(ITEMS) == len({item.id for item in ITEMS}) == len({asked(item).context for item in ITEMS}) == 152


def test_right_answers_are_equally_often_in_each_place_per_subject() -> None:
    places = Counter((item.groups, item.gold) for item in ITEMS)
    subjects = Counter(item.groups for item in ITEMS)
    assert len(subjects) == 6
    assert all(places[groups, place] * 4 == count for groups, count in subjects.items() for place in range(4))


CALCULATIONS = {
    r"What is (\d+) plus (\d+)\?": lambda a, b: a + b,
    r"What is (\d+) minus (\d+)\?": lambda a, b: a - b,
    r"What is (\d+) times (\d+)\?": lambda a, b: a * b,
    r"What is (\d+) divided by (\d+)\?": lambda a, b: a / b,
    r"What is (\d+) percent of (\d+)\?": lambda a, b: a * b / 100,
    r"What is half of (\d+)\?": lambda a: a / 2,
    r"What is twice (\d+)\?": lambda a: a * 2,
    r"What is the square of (\d+)\?": lambda a: a**2,
    r"What is the square root of (\d+)\?": lambda a: a**0.5,
}


def test_the_sums_are_right_and_no_other_option_is() -> None:
    checked = 0
    for item in ITEMS:
        for pattern, calculate in CALCULATIONS.items():
            if found := re.search(pattern, asked(item).context):
                result = calculate(*map(int, found.groups()))
                assert [int(option) == result for option in asked(item).options].count(True) == 1
                assert int(right_answer(item)) == result
                checked += 1
    assert checked == 19


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which metal is liquid at room temperature?", "Mercury"),
        ("What is the capital of Canada?", "Ottawa"),
        ("In which year did World War II end?", "1945"),
        ("What is the plural of mouse?", "Mice"),
        ("How many degrees are in a right angle?", "90"),
        ("Which month comes after June?", "July"),
    ],
)
def test_the_right_answer_of_the_file_is_the_one_that_counts(question: str, answer: str) -> None:
    (item,) = [item for item in ITEMS if asked(item).context == f"Question: {question}\nAnswer:"]
    assert right_answer(item) == answer


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_all_right_is_1_all_wrong_is_0_and_one_place_is_chance(metric: Metric) -> None:
    def score(shift: int | None) -> float:
        options = {item.id: 0 if shift is None else ((item.gold or 0) + shift) % 4 for item in ITEMS}
        answers = {name: answer for name, option in options.items() if (answer := choosing(option, 4)) is not None}
        return value_of(metric, ITEMS, answers)

    assert (score(0), score(1), score(None)) == (1, 0, 0.25)


def test_accuracy_per_byte_divides_by_the_length_of_the_option() -> None:
    item = ITEMS[1]
    assert item.gold == 1
    answer = ChoiceScores((-2.0, -3.0, -9.0, -9.0), (1, 1, 1, 1), (2, 6, 6, 6))  # -1.0 and -0.5 nats per byte
    assert METRICS["accuracy"].measure(item, answer, None) == (0.0, 1.0)
    assert METRICS["accuracy_per_byte"].measure(item, answer, None) == (1.0, 1.0)
    state = METRICS["accuracy_per_byte"].flip_key
    assert state is not None
    assert state(item, answer, None) == 1
