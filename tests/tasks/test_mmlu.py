"""MMLU: the prompt is lm-evaluation-harness's, the questions are all there, and wrong files are named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crushtest.errors import DataError, UnknownName, UsageError
from crushtest.records import Choices
from crushtest.registry import TASKS
from crushtest.tasks.mmlu import SUBJECTS, Question, mmlu, parse, subject_items

SHOT = Question("Two and two? ", ("3", "4", "5", "6"), 1)
ASKED = Question(" Which is a fruit?", ("apple", "brick", "cloud", "door"), 0)


def test_the_prompt_is_description_shots_and_question() -> None:
    # As lm-evaluation-harness renders its templates: question stripped, shots parted by a blank line.
    (item,) = subject_items("high_school_biology", [SHOT], [ASKED])
    assert item.request == Choices(
        "The following are multiple choice questions (with answers) about high school biology.\n\n"
        "Two and two?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer: B\n\n"
        "Which is a fruit?\nA. apple\nB. brick\nC. cloud\nD. door\nAnswer:",
        (" A", " B", " C", " D"),
    )
    assert item.gold == 0
    assert item.groups == ("category=stem", "subject=high_school_biology")


def test_questions_on_one_passage_are_one_cluster() -> None:
    passage = "This question refers to the following information.\nA king wrote a letter.\n"
    options = ("a", "b", "c", "d")
    asked = [Question(f"{passage}Who wrote?", options, 0), ASKED, Question(f"{passage}To whom?", options, 1)]
    clusters = [item.cluster for item in subject_items("high_school_world_history", [], asked)]
    assert clusters[0] == clusters[2] != clusters[1]


def test_57_subjects_fall_into_four_categories() -> None:
    assert Counter(SUBJECTS.values()) == {"stem": 19, "humanities": 13, "other": 13, "social_sciences": 12}


def test_all_test_questions_are_there_and_no_id_is_used_twice(data: Path) -> None:
    items = mmlu().items()
    assert len({item.id for item in items}) == len(items) == 14_042
    assert all(item.request.context.count("\nAnswer: ") == 5 for item in items[:50])  # type: ignore[union-attr]


def test_a_category_stands_for_its_subjects(data: Path) -> None:
    items = mmlu(shots=0, subjects=("humanities", "anatomy")).items()
    assert {item.groups[0] for item in items} == {"category=humanities", "category=stem"}
    assert {item.groups[1] for item in items if "stem" in item.groups[0]} == {"subject=anatomy"}


def test_an_unknown_subject_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'anatomy'"):
        mmlu(subjects=("anatomi",)).items()


def test_six_shots_are_refused() -> None:
    with pytest.raises(UsageError, match=r"task 'mmlu': shots must be .* 5 \(got 6\)"):
        TASKS.get("mmlu").bind({"shots": 6})


def test_a_row_without_its_letter_is_named() -> None:
    with pytest.raises(DataError, match=r"anatomy_dev\.csv, row 1"):
        parse("q,a,b,c,d,A\nq,a,b,c,d,E\n", "anatomy_dev.csv")
