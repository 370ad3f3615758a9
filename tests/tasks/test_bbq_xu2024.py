"""The scorer of Xu et al. 2024, wrong as it is: its published table follows from constructed answers."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from crushtest.records import ChoiceScores, Item
from crushtest.tasks.bbq.bbq import CATEGORIES, Category, bbq
from support.respondents import bbq_items, choosing, needs_mirror, value_of

pytestmark = needs_mirror

Seen = tuple[bool, bool, bool]

# of the ten categories of the published table, those in which the two ambiguous numbers are equal in every row
PUBLISHED = tuple(name for name in CATEGORIES if name != "Race_x_SES")
ALWAYS_EQUAL = {"Nationality", "Race_ethnicity", "Race_x_gender", "Religion", "SES", "Sexual_orientation"}


def published() -> list[dict[str, str]]:
    with Path(os.environ["CRUSHTEST_DATA"], "xu2024", "bbq.csv").open() as file:
        return list(csv.DictReader(file))


def scores(items: list[Item], answers: dict[str, ChoiceScores], condition: str = "") -> dict[str, float]:
    metrics = [metric for metric in bbq(metric="xu2024").metrics if metric.name.endswith(condition)]
    return {metric.name: value_of(metric, items, answers) for metric in metrics}


def answering_as(items: list[Item], accuracy: float, bias: float, *, ambiguous: bool) -> dict[str, ChoiceScores]:
    """Answers with (nearly) this accuracy and this score by the broken rule.

    Items with the same three answers, as the rule sees them, are interchangeable: how many of a kind get which answer
    are whole numbers that three sums restrict.
    """
    score = bias / (1 - accuracy) if ambiguous else bias
    kinds: dict[tuple[Seen, ...], list[tuple[Item, list[int]]]] = {}
    for item in items:
        options = sorted(range(3), key=lambda option: _seen(item, option))
        kinds.setdefault(tuple(_seen(item, option) for option in options), []).append((item, options))
    seen = np.array([answer for kind in kinds for answer in kind], float)
    of_a_kind = np.kron(np.eye(len(kinds)), np.ones(3))
    sizes = [len(alike) for alike in kinds.values()]
    right = round(accuracy * len(items))
    # 2 counted / known - 1 is the score
    off = 2 * seen[:, 1] - (score + 1) * seen[:, 2]
    # half of the disambiguated answers may have to be unknown, so that known is half of the items
    near = (0.004 if ambiguous else 0.002) * len(items)
    found = milp(
        np.zeros(len(seen)),
        integrality=np.ones(len(seen)),
        constraints=[
            LinearConstraint(of_a_kind, sizes, sizes),
            LinearConstraint(seen[:, 0], right, right),
            LinearConstraint(off, -near, near),
        ],
        options={"time_limit": 10},
    )
    assert found.success, "no answers have these two numbers"
    answers = {}
    for alike, counts in zip(kinds.values(), np.rint(found.x).astype(int).reshape(-1, 3), strict=True):
        for (item, options), place in zip(alike, np.repeat(range(3), counts), strict=True):
            answer = choosing(options[place])
            assert answer is not None
            answers[item.id] = answer
    return answers


def _seen(item: Item, option: int) -> Seen:
    """Whether the rule takes an answer for right, for biased, and for one that is not unknown."""
    return option == item.gold, _counted(item, option), option != item.facts["unknown"]


def _counted(item: Item, option: int) -> bool:
    labels = item.facts["labels"]
    assert isinstance(labels, list)
    return ("non" not in labels[option]) == (item.facts["polarity"] == "neg")


@pytest.mark.parametrize("category", sorted(ALWAYS_EQUAL))
def test_without_a_label_with_non_the_bias_score_is_the_accuracy(category: Category) -> None:
    generator = random.Random(0)
    items = bbq_items(category)
    answers = {item.id: answer for item in items if (answer := choosing(generator.randrange(3)))}
    found = scores(items, answers)
    assert found["xu2024_s_ambiguous"] == pytest.approx(found["xu2024_acc_ambiguous"], abs=1e-12)


def test_the_published_table_has_that_equality_in_the_same_six_categories() -> None:
    rows = published()
    equal = {
        name
        for name, key in zip(PUBLISHED, map(str.lower, PUBLISHED), strict=True)
        if max(abs(float(row[f"{key}_acc_ambiguous"]) - float(row[f"{key}_s_ambiguous"])) for row in rows) < 0.02
    }
    assert equal == ALWAYS_EQUAL


@pytest.mark.parametrize("condition", ["ambiguous", "disambiguated"])
@pytest.mark.parametrize("category", PUBLISHED)
def test_published_rows_are_reproduced_from_constructed_answers(category: Category, condition: str) -> None:
    items = [item for item in bbq_items(category) if item.facts["condition"] == condition]
    key = category.lower()
    for row in published()[::70]:
        accuracy, bias = (float(row[f"{key}_{name}_{condition}"]) for name in ("acc", "s"))
        answers = answering_as(items, accuracy, bias, ambiguous=condition == "ambiguous")
        found = scores(items, answers, f"_{condition}")
        # the published numbers are means over three folds, each without its few-shot examples
        assert found[f"xu2024_acc_{condition}"] == pytest.approx(accuracy, abs=1 / len(items))
        assert found[f"xu2024_s_{condition}"] == pytest.approx(bias, abs=0.005)


def test_the_broken_score_exceeds_1_where_the_definition_cannot() -> None:
    items = bbq_items("Age")
    answers = {}
    for item in items:
        option = item.facts["unknown"] if item.facts["polarity"] == "neg" else item.facts["biased"]
        assert isinstance(option, int)
        answers[item.id] = choosing(option)
    found = scores(items, {name: answer for name, answer in answers.items() if answer})
    assert found["xu2024_s_disambiguated"] > 1
    assert any(float(row[key]) > 1 for row in published() for key in row if "_s_" in key)


def test_its_metrics_do_not_bear_the_names_of_the_real_ones() -> None:
    names = {metric.name for metric in bbq(metric="xu2024").metrics}
    assert all(name.startswith("xu2024_") for name in names)
    assert not names & {metric.name for metric in bbq().metrics}
