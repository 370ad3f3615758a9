"""The scorer of Xu et al. 2024, wrong as it is: its published table follows from constructed answers."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path

import pytest
from respondents import bbq_items, choosing, needs_mirror, value_of

from crushtest.records import ChoiceScores, Item
from crushtest.tasks.bbq import CATEGORIES, Category, bbq

pytestmark = needs_mirror

# of the ten categories of the published table, those in which the two ambiguous numbers are equal in every row
ALWAYS_EQUAL = {"Nationality", "Race_ethnicity", "Race_x_gender", "Religion", "SES", "Sexual_orientation"}


def published() -> list[dict[str, str]]:
    with Path(os.environ["CRUSHTEST_DATA"], "xu2024", "bbq.csv").open() as file:
        return list(csv.DictReader(file))


def scores(category: Category, answers: dict[str, ChoiceScores]) -> dict[str, float]:
    return {metric.name: value_of(metric, bbq_items(category), answers) for metric in bbq(metric="xu2024").metrics}


def answering_as(items: list[Item], accuracy: float, bias: float, *, ambiguous: bool) -> dict[str, ChoiceScores]:
    """Answers with (nearly) this accuracy and this score by the broken rule.

    Right answers first, half of them to negative questions; then as many answers that the rule takes for biased as
    the score needs, given those that it takes for biased already.
    """
    ordered = sorted(items, key=lambda item: item.id.rpartition("/")[2])
    negative = [item for item in ordered if item.facts["polarity"] == "neg"]
    other = [item for item in ordered if item.facts["polarity"] != "neg"]
    mixed = [item for pair in zip(negative, other, strict=True) for item in pair]
    chosen: dict[str, int] = {}
    right = round(accuracy * len(items))
    for item in mixed[:right]:
        assert item.gold is not None
        chosen[item.id] = item.gold
    known = len(items) - (right if ambiguous else 0)
    score = bias / (1 - accuracy) if ambiguous else bias
    wanted = round((score + 1) / 2 * known) - sum(_counted(item, chosen[item.id]) for item in mixed[:right])
    for item in mixed[right:]:
        wrong = [option for option in range(3) if option not in (item.gold, item.facts["unknown"])]
        best = max(wrong, key=lambda option: _counted(item, option) == (wanted > 0))
        wanted -= _counted(item, best)
        chosen[item.id] = best
    return {name: answer for name, option in chosen.items() if (answer := choosing(option))}


def _counted(item: Item, option: int) -> bool:
    labels = item.facts["labels"]
    assert isinstance(labels, list)
    return ("non" not in labels[option]) == (item.facts["polarity"] == "neg")


@pytest.mark.parametrize("category", sorted(ALWAYS_EQUAL))
def test_where_no_label_has_non_the_bias_score_is_the_accuracy_whatever_is_answered(category: Category) -> None:
    generator = random.Random(0)
    items = bbq_items(category)
    answers = {item.id: answer for item in items if (answer := choosing(generator.randrange(3)))}
    found = scores(category, answers)
    assert found["xu2024_s_ambiguous"] == pytest.approx(found["xu2024_acc_ambiguous"], abs=1e-12)


def test_the_published_table_has_that_equality_in_the_same_six_categories() -> None:
    rows = published()
    names = {name: name.lower() for name in CATEGORIES if name != "Race_x_SES"}
    equal = {
        name
        for name, key in names.items()
        if max(abs(float(row[f"{key}_acc_ambiguous"]) - float(row[f"{key}_s_ambiguous"])) for row in rows) < 0.02
    }
    assert equal == ALWAYS_EQUAL


@pytest.mark.parametrize("category", ["Age", "Religion", "Nationality", "Sexual_orientation"])
def test_published_rows_are_reproduced_from_constructed_answers(category: Category) -> None:
    items = bbq_items(category)
    ambiguous = [item for item in items if item.facts["condition"] == "ambiguous"]
    key = category.lower()
    for row in published()[::40]:
        accuracy, bias = (float(row[f"{key}_{name}_ambiguous"]) for name in ("acc", "s"))
        found = scores(category, answering_as(ambiguous, accuracy, bias, ambiguous=True))
        # the published numbers are means over three folds, each without its few-shot examples
        assert found["xu2024_acc_ambiguous"] == pytest.approx(accuracy, abs=1 / len(ambiguous))
        assert found["xu2024_s_ambiguous"] == pytest.approx(bias, abs=0.005)


def test_the_broken_score_exceeds_1_where_the_definition_cannot() -> None:
    items = bbq_items("Age")
    answers = {}
    for item in items:
        option = item.facts["unknown"] if item.facts["polarity"] == "neg" else item.facts["biased"]
        assert isinstance(option, int)
        answers[item.id] = choosing(option)
    assert scores("Age", {name: answer for name, answer in answers.items() if answer})["xu2024_s_disambiguated"] > 1
    assert any(float(row[key]) > 1 for row in published() for key in row if "_s_" in key)


def test_its_metrics_do_not_bear_the_names_of_the_real_ones() -> None:
    names = {metric.name for metric in bbq(metric="xu2024").metrics}
    assert all(name.startswith("xu2024_") for name in names)
    assert not names & {metric.name for metric in bbq().metrics}
