"""probe_facts: general knowledge, some of which a language model of any size should have.

152 questions of our own with one right answer and three wrong ones (`probes/facts.yaml`), on science, geography,
history, language, arithmetic and everyday life. The facts do not change and are undisputed. A smoke alarm, not a
benchmark: it shows that knowledge got lost, not how much a model knows. Chance is 0.25.
"""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.metrics import accuracy, choice_per_byte, rate
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.probes.wording import read_wording


@task("probe_facts", dimension="downstream quality", source="written for this project", licence="Apache-2.0", items=152)
def probe_facts() -> Task:
    """Four-way general-knowledge questions: how often is the right answer the most likely one?

    Metrics: `accuracy`, by the log-likelihood of an answer summed over its tokens, and `accuracy_per_byte`, by that
    sum divided by the answer's bytes.

    Items: 152 questions, each its own cluster. Groups: `subject`. Known problems: the questions are too few to tell
    models apart that differ by less than ten points; the facts are of the sort that people write about in English.
    """
    per_byte = rate(
        "accuracy_per_byte",
        lambda item, answer, score: choice_per_byte(answer) == item.gold,
        better="higher",
        flip_key=lambda item, answer, score: choice_per_byte(answer),
        label="accuracy, by likelihood per byte",
        meaning="The same, options compared by their log-likelihood per byte of text.",
    )
    return Task("choices", _items, (accuracy(), per_byte))


def _items() -> Sequence[Item]:
    subjects = read_wording("facts.yaml")
    return [
        _item(subject, number, question, [str(answer) for answer in answers])
        for subject, questions in subjects.items()
        for number, (question, *answers) in enumerate(questions)
    ]


def _item(subject: str, number: int, question: str, answers: list[str]) -> Item:
    """Return one item, with the right answer, which the file gives first, in place `number` mod 4."""
    gold = number % 4
    right, *wrong = answers
    options = [*wrong[:gold], right, *wrong[gold:]]
    name = f"{subject}/{number}"
    return Item(
        id=name,
        groups=(f"subject={subject}",),
        cluster=name,
        request=Choices(f"Question: {question}\nAnswer:", tuple(f" {option}" for option in options)),
        gold=gold,
    )
