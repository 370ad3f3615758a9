"""mmlu: exam questions on 57 subjects (Hendrycks et al., ICLR 2021)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from annotated_types import Ge, Le

from crushtest.data.sources import read_text
from crushtest.errors import DataError, UnknownName
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.choice_metrics import question_metrics

LETTERS = ("A", "B", "C", "D")
SHARED_TEXT = "This question refers to the following information."

_CATEGORIES = {
    "stem": """abstract_algebra astronomy college_biology college_chemistry college_computer_science
        college_mathematics college_physics computer_security conceptual_physics electrical_engineering
        elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
        high_school_mathematics high_school_physics high_school_statistics machine_learning anatomy""",
    "humanities": """formal_logic high_school_european_history high_school_us_history high_school_world_history
        international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory
        professional_law world_religions""",
    "social_sciences": """econometrics high_school_geography high_school_government_and_politics
        high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality
        professional_psychology public_relations security_studies sociology us_foreign_policy""",
    "other": """business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing
        medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology""",
}
SUBJECTS = dict(sorted((subject, name) for name, listed in _CATEGORIES.items() for subject in listed.split()))
"""Subject -> its category, as the authors' evaluation code and lm-evaluation-harness group them."""


class Question(NamedTuple):
    """One row of a file: the question, its four options, and the index of the right one."""

    text: str
    options: tuple[str, ...]
    gold: int


@task("mmlu", dimension="downstream quality", source="arXiv:2009.03300; hub cais/mmlu", licence="MIT", items=14042)
def mmlu(*, shots: Annotated[int, Ge(0), Le(5)] = 5, subjects: tuple[str, ...] = ()) -> Task:
    """Four-way exam questions on 57 subjects: how often is the letter of the right option the most likely one?

    Items: the 14,042 test questions. `shots` questions of the subject's development part, with their answers, stand in
    front of each. `subjects` takes subjects and categories (stem, humanities, social_sciences, other); all by default.
    Groups: `category`, `subject`. Clusters: questions on the same passage (history) are resampled together.
    Metrics: `accuracy`, over questions (not averaged over subjects), and `decision_margin` in nats.

    Prompt, order of the shots and scoring are those of lm-evaluation-harness (task `mmlu`, version 1). The options are
    the letters " A" to " D" after "Answer:". Chance is 0.25.

    Known problems: several per cent of the questions have a wrong or ambiguous key, most of all in virology (Gema et
    al. 2024, "Are We Done with MMLU?", arXiv:2406.04127); the questions are on the web and in training data, so a
    difference between arms says more than a level; small models prefer one letter, which shows as accuracy of 0.25.
    """
    return Task(
        "choices",
        lambda: [item for subject in _chosen(subjects) for item in _subject_items(subject, shots)],
        question_metrics(),
    )


def _chosen(subjects: Sequence[str]) -> list[str]:
    """Return the subjects that are named, alone or by category. Raises UnknownName."""
    for name in subjects:
        if name not in SUBJECTS and name not in _CATEGORIES:
            raise UnknownName("subject", name, [*SUBJECTS, *_CATEGORIES], where="task 'mmlu'")
    return [name for name, category in SUBJECTS.items() if not subjects or {name, category} & set(subjects)]


def _subject_items(subject: str, shots: int) -> list[Item]:
    development = _read(subject, "dev") if shots else []
    if len(development) < shots:
        raise DataError(
            f"task 'mmlu': {subject} has {len(development)} development questions ({shots} shots asked for)"
        )
    return subject_items(subject, development[:shots], _read(subject, "test"))


def subject_items(subject: str, shots: Sequence[Question], questions: Sequence[Question]) -> list[Item]:
    """Return the items of one subject, with these shots in front of each."""
    head = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    head += "".join(f"{_prompt(shot)} {LETTERS[shot.gold]}\n\n" for shot in shots)
    options = tuple(f" {letter}" for letter in LETTERS)
    first: dict[str, int] = {}
    return [
        Item(
            id=f"{subject}/{number}",
            groups=(f"category={SUBJECTS[subject]}", f"subject={subject}"),
            cluster=f"{subject}/{first.setdefault(_passage(question) or str(number), number)}",
            request=Choices(head + _prompt(question), options),
            gold=question.gold,
        )
        for number, question in enumerate(questions)
    ]


def _prompt(question: Question) -> str:
    options = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, question.options, strict=True))
    return f"{question.text.strip()}\n{options}Answer:"


def _passage(question: Question) -> str:
    """Return the passage that several history questions share, all but the last line; empty for other questions."""
    return question.text.strip().rpartition("\n")[0] if question.text.startswith(SHARED_TEXT) else ""


def _read(subject: str, part: str) -> list[Question]:
    file = f"mmlu/{part}/{subject}_{part}.csv"
    return parse(read_text("mmlu", file), file)


def parse(text: str, file: str) -> list[Question]:
    """Return the questions of a CSV file without a header: question, four options, the letter of the right one."""
    questions = []
    for number, row in enumerate(csv.reader(io.StringIO(text, newline=""))):
        if len(row) != 6 or row[5] not in LETTERS:
            raise DataError(f"{file}, row {number}: needs question, four options and a letter A-D (got {row!r})")
        questions.append(Question(row[0], tuple(row[1:5]), LETTERS.index(row[5])))
    return questions
