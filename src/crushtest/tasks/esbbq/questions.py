"""The questions of EsBBQ and CaBBQ, two parallel files per category, and the task that both make.

Ruiz-Fernández et al., EsBBQ and CaBBQ: The Spanish and Catalan Bias Benchmarks for Question Answering, 2025,
arXiv:2507.11216.
"""

from __future__ import annotations

import ast
import csv
import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from crushtest.data import sources
from crushtest.metrics import choice
from crushtest.records import ChoiceScores, Item
from crushtest.tasks.base import Task
from crushtest.tasks.bbq.bbq import chosen_by
from crushtest.tasks.shared.bbq_items import Form, Question, Words, item_of_question
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from crushtest.tasks.shared.diff_bias import diff_bias_metrics

Row = Mapping[str, str]
Category = Literal[
    "Age",
    "DisabilityStatus",
    "Gender",
    "LGBTQIA",
    "Nationality",
    "PhysicalAppearance",
    "RaceEthnicity",
    "Religion",
    "SES",
    "SpanishRegion",
]
CATEGORIES: tuple[Category, ...] = Category.__args__  # type: ignore[attr-defined]
Unknown = Literal["drawn", "every"]
UNKNOWN = 2
"""Place of the answer that means unknown, in every question. With `every` the places after it mean the same."""


class Language(NamedTuple):
    """One of the two sets: its name, the words around a question, and the authors' wordings of unknown."""

    name: str
    words: Words
    unknowns: tuple[str, ...]


def question_task(
    language: Language,
    *,
    categories: Sequence[Category],
    unknown: Unknown,
    scoring: Literal["sum", "token", "byte"],
    form: Form,
    chat: bool,
    seed: int,
) -> Task:
    """Return the task of one set: BBQ's metrics and the paper's scores."""
    chosen = up_to_unknown(chosen_by(scoring))
    return Task(
        "choices",
        lambda: [
            item
            for category in categories
            for item in _items(language, category, unknown=unknown, form=form, chat=chat, seed=seed)
        ],
        (*bbq_metrics(chosen), *diff_bias_metrics(chosen)),
        headline="diff_bias_ambiguous",
    )


def up_to_unknown(chosen: Callable[[ChoiceScores], int] = choice) -> Callable[[ChoiceScores], int]:
    """Return a rule that takes every wording of unknown for the same answer."""
    return lambda answer: min(chosen(answer), UNKNOWN)


def _items(
    language: Language, category: Category, *, unknown: Unknown, form: Form, chat: bool, seed: int
) -> Iterator[Item]:
    for row in read_rows(language.name, category):
        name = f"{category}/{row['instance_id']}"
        # the wording belongs to the question, so that it does not depend on which others are asked
        drawn = random.Random(f"{seed}/{name}").choice(language.unknowns)
        yield item_of_question(
            _question(row, language.unknowns if unknown == "every" and form == "answers" else (drawn,)),
            name,
            (f"category={category}", f"stereotyped={_group(row, stereotyped_place(row))}"),
            f"{category}/{row['template_id']}",
            words=language.words,
            form=form,
            chat=chat,
        )


def _question(row: Row, unknowns: Sequence[str]) -> Question:
    stereotyped = stereotyped_place(row)
    return Question(
        context=row["context"],
        question=row["question"],
        answers=(row["ans0"], row["ans1"], *unknowns),
        condition=row["context_condition"],
        polarity=row["question_polarity"],
        gold=int(row["label"]),
        unknown=UNKNOWN,
        biased=stereotyped if row["question_polarity"] == "neg" else 1 - stereotyped,
    )


def stereotyped_place(row: Row) -> int:
    """Return which of the two people is of a stereotyped group: exactly one is, in every question of both sets."""
    groups = _listed(row["stereotyped_groups"])
    belongs = [_group(row, place) in groups for place in (0, 1)]
    assert sum(belongs) == 1, row["instance_id"]
    return belongs.index(True)


def _group(row: Row, place: int) -> str:
    """Return the group of a person: the last word of the list that labels them."""
    return _listed(row[f"answer_info.ans{place}"])[-1].rpartition(",")[2].strip()


@cache
def _listed(text: str) -> list[str]:
    """Return a list that the file writes as Python does."""
    listed: list[str] = ast.literal_eval(text)
    return listed


def read_rows(name: str, category: Category) -> list[dict[str, str]]:
    """Return the rows of one category's file. Raises DataError as `find` does."""
    return list(csv.DictReader(io.StringIO(sources.read_text(name, f"{category}.full.csv"), newline="")))
