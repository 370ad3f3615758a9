"""MBBQ: which English question a question translates, and what a language adds beyond English."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from crushtest.metrics import with_read
from crushtest.records import ChoiceScores, Item, ReadChoice
from crushtest.tasks.base import Task
from crushtest.tasks.mbbq.alignment import english_counterparts, meaning, roles, tells_people_apart
from crushtest.tasks.mbbq.mbbq import CATEGORIES, Language, mbbq, read_rows
from support.respondents import choosing, needs_mirror, value_of

OTHERS: tuple[Language, ...] = ("es", "nl", "tr")
SMALL = ("Gender_identity", "Sexual_orientation")

pytestmark = needs_mirror


@cache
def asked(language: Language, control: bool = False) -> tuple[Task, list[Item]]:
    task = mbbq(language=language, categories=SMALL, control=control)
    return task, list(task.items())


def values(task: Task, items: list[Item], respondent: Callable[[Item], Any]) -> dict[str, float]:
    answers: dict[str, ChoiceScores] = {item.id: choosing(respondent(item)) for item in items}  # type: ignore[misc]
    return {metric.name: value_of(metric, items, answers) for metric in task.metrics}


def of_language(item: Item) -> bool:
    return item.facts["asked"] != "english"


# ---- the join


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_every_question_has_its_translation_or_is_counted_as_without(category: Any, language: Language) -> None:
    rows, english = read_rows(category, language), read_rows(category, "en")
    pairs = english_counterparts(rows, english)
    without = 12 if (category, language) == ("Gender_identity", "es") else 0
    assert len(rows) - len(pairs) == without
    assert len({row["example_id"] for row in pairs.values()}) == len(pairs)
    for row in rows:
        if row["example_id"] in pairs:
            assert meaning(row) == meaning(pairs[row["example_id"]])
            assert set(roles(row)) == set(roles(pairs[row["example_id"]]))


def test_numbers_of_spanish_questions_of_gender_do_not_match_english_ones() -> None:
    spanish, english = read_rows("Gender_identity", "es"), read_rows("Gender_identity", "en")
    pairs = english_counterparts(spanish, english)
    assert sum(number != row["example_id"] for number, row in pairs.items()) > 480
    teacher = next(row for row in spanish if "preescolar" in row["question"])
    assert teacher["example_id"] != pairs[teacher["example_id"]]["example_id"]
    assert "preschool teacher" in pairs[teacher["example_id"]]["question"]


def test_questions_that_label_a_girl_and_a_boy_alike_have_no_counterpart() -> None:
    rows = read_rows("Gender_identity", "es")
    pairs = english_counterparts(rows, read_rows("Gender_identity", "en"))
    alike = [row for row in rows if not tells_people_apart(row)]
    assert {row["example_id"] for row in alike} == {row["example_id"] for row in rows} - set(pairs)
    assert all(set(roles(row)) == {"boy", "unknown"} for row in alike)


def test_turkish_files_order_the_answers_differently_and_mean_the_same() -> None:
    rows = read_rows("Age", "tr")
    pairs = english_counterparts(rows, read_rows("Age", "en"))
    assert sum(roles(row) != roles(pairs[row["example_id"]]) for row in rows) == 2832
    for item in mbbq(language="tr", categories=("Age",)).items()[:3320]:
        english = item.facts["english"]
        assert isinstance(english, dict)
        here, there = rows[int(item.id.split("/")[2])], pairs[int(item.id.split("/")[2])]
        for fact, place in (("biased", item.facts["biased"]), ("unknown", item.facts["unknown"]), ("gold", item.gold)):
            assert roles(here)[place] == roles(there)[english[fact]]  # type: ignore[call-overload]


def test_people_in_turkish_questions_of_income_have_swapped_parts() -> None:
    rows = read_rows("SES", "tr")
    english = {row["example_id"]: row for row in read_rows("SES", "en")}
    swapped = [row for row in rows if meaning(row) != meaning(english[row["example_id"]])]
    assert len(swapped) == 624
    pairs = english_counterparts(rows, list(english.values()))
    assert all(pairs[row["example_id"]]["example_id"] != row["example_id"] for row in swapped)


@pytest.mark.parametrize("language", OTHERS)
def test_a_template_is_one_cluster_in_all_languages(language: Language) -> None:
    _, items = asked(language, control=True)
    by_id = {item.id: item for item in items}
    pairs = [(item, by_id[item.facts["english"]["item"]]) for item in items if item.facts.get("english")]  # type: ignore[index]
    assert len(pairs) == 696 - 12 * (language == "es")
    assert all((item.cluster, item.groups) == (english.cluster, english.groups) for item, english in pairs)
    assert {item.cluster for item in items} == {item.cluster for item in asked("en")[1]}


# ---- against English


@pytest.mark.parametrize("language", OTHERS)
def test_one_respondent_in_both_languages_leaves_no_difference(language: Language) -> None:
    task, items = asked(language)
    for respondent in (lambda item: item.gold, lambda item: item.facts["unknown"]):
        scores = values(task, items, respondent)
        assert scores["diff_bias_ambiguous_minus_english"] == scores["diff_bias_disambiguated_minus_english"] == 0
        assert scores["accuracy_ambiguous_below_english"] == scores["accuracy_disambiguated_below_english"] == 0
    stereotyped = values(task, items, lambda item: item.facts["biased"] if item.facts["biased"] is not None else 0)
    assert stereotyped["diff_bias_ambiguous_minus_english"] == stereotyped["diff_bias_disambiguated_minus_english"] == 0
    assert stereotyped["diff_bias_ambiguous"] == stereotyped["diff_bias_ambiguous_english"] == 1


@pytest.mark.parametrize("language", OTHERS)
def test_a_stereotype_in_one_language_alone_is_the_whole_difference(language: Language) -> None:
    task, items = asked(language)

    def here(item: Item) -> Any:
        return item.gold if not of_language(item) or item.facts["biased"] is None else item.facts["biased"]

    def there(item: Item) -> Any:
        return item.gold if of_language(item) or item.facts["biased"] is None else item.facts["biased"]

    only_here, only_there = values(task, items, here), values(task, items, there)
    assert (only_here["diff_bias_ambiguous_minus_english"], only_there["diff_bias_ambiguous_minus_english"]) == (1, -1)
    assert only_here["diff_bias_disambiguated_minus_english"] == 1
    assert only_there["diff_bias_disambiguated_minus_english"] == -1
    assert only_here["accuracy_ambiguous_below_english"] == pytest.approx(1, abs=0.05)
    assert only_there["accuracy_ambiguous_below_english"] == pytest.approx(-1, abs=0.05)


def test_a_question_without_an_english_answer_is_in_no_difference() -> None:
    task, items = asked("es")
    answers: dict[str, ChoiceScores] = {item.id: choosing(item.gold) for item in items if of_language(item)}  # type: ignore[misc]
    first = next(item for item in items if not of_language(item))
    answers[first.id] = choosing(first.gold)  # type: ignore[assignment]
    metric = next(metric for metric in task.metrics if metric.name == "accuracy_ambiguous_below_english")
    assert value_of(metric, items, answers) == 0
    del answers[first.id]
    assert math.isnan(value_of(metric, items, answers))


def test_letters_read_from_replies_are_compared_with_english_too() -> None:
    task, items = asked("nl")
    metric = next(each for each in with_read(task.metrics) if each.name == "diff_bias_ambiguous_minus_english_read")
    replies: Any = {item.id: ReadChoice(item.facts["biased"] or 0, "A") for item in items}  # type: ignore[arg-type]
    assert value_of(metric, items, replies) == 0


def test_untranslated_questions_are_counted() -> None:
    task, items = asked("es")
    assert values(task, items, lambda item: item.gold)["untranslated_rate"] == pytest.approx(12 / 696)


# ---- the control questions, and the draw


def test_accuracy_lost_on_groups_alone_is_the_cost_of_naming_them() -> None:
    task, items = asked("tr", control=True)
    scores = values(task, items, lambda item: item.gold if item.facts["asked"] != "groups" else item.facts["unknown"])
    assert (scores["accuracy_disambiguated_control"], scores["accuracy_disambiguated"]) == (1, 0)
    assert scores["accuracy_cost_of_groups"] == 1
    # a model that loses both has lost competence
    assert values(task, items, lambda item: item.facts["unknown"])["accuracy_cost_of_groups"] == 0


def test_control_questions_name_no_group_in_their_answers() -> None:
    items = [item for item in asked("en", control=True)[1] if item.facts["asked"] == "control"]
    assert len(items) == 680
    words = {option.strip().lower() for item in items for option in item.request.options}  # type: ignore[union-attr]
    assert not words & {"the woman", "the man", "the gay man", "the trans woman"}


@pytest.mark.parametrize("language", OTHERS)
def test_a_limit_draws_questions_with_their_counterparts(language: Language) -> None:
    task, _ = asked(language)
    drawn = task.sample_items(60, 0)
    here = [item for item in drawn if of_language(item)]
    partners = [item.facts["english"]["item"] for item in here if item.facts["english"]]  # type: ignore[index]
    assert len(here) == 30
    assert [item.id for item in drawn if not of_language(item)] == partners
    assert {item.id for item in task.sample_items(30, 0)} < {item.id for item in drawn}
