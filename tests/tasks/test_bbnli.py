"""BBNLI: premises with their hypotheses, and respondents whose scores are known beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from crushtest.predictions.point_estimates import point_estimates
from crushtest.records import Choices, Item
from crushtest.tasks.bbnli import Form, bbnli
from support.respondents import choosing, needs_mirror

pytestmark = needs_mirror


def scores(respond: Callable[[Item], int | None], form: Form = "inference") -> dict[tuple[str, str], float | None]:
    task = bbnli(form=form)
    items = list(task.items())
    answers = {item.id: answer for item in items if (answer := choosing(respond(item))) is not None}
    return {(row.metric, row.group): row.value for row in point_estimates(task.metrics, items, answers)}


def test_items_are_as_many_as_the_authors_generator_makes() -> None:
    """1138 stereotyping and 458 control pairs with the groups as they are, and as many with the groups swapped."""
    items = bbnli().items()
    counts = Counter((item.facts["condition"], item.facts["side"]) for item in items)
    assert counts == {("ambiguous", None): 2 * 1138, ("control", "pro"): 458, ("control", "anti"): 458}
    assert all(item.gold == 1 for item in items if item.facts["condition"] == "ambiguous")


@pytest.mark.parametrize("form", ["inference", "question"])
def test_stereotyping_is_1_its_opposite_minus_1_and_neutral_is_undefined(form: Form) -> None:
    always = scores(lambda item: item.facts["biased"], form)  # type: ignore[arg-type, return-value]
    assert (always["bias_ambiguous", "all"], always["accuracy_ambiguous", "category=race"]) == (1, 0)
    never = scores(lambda item: None if item.facts["biased"] is None else 2 - item.facts["biased"], form)  # type: ignore[operator]
    assert never["bias_ambiguous", "all"] == -1
    neutral = scores(lambda item: 1, form)
    assert (neutral["bias_ambiguous", "all"], neutral["accuracy_ambiguous", "all"]) == (None, 1)


def test_entailment_whatever_is_asked_is_not_bias_but_a_fixed_answer() -> None:
    """Every hypothesis is asked with the groups as they are and swapped: agreeing with both cancels."""
    assert scores(lambda item: 2)["bias_ambiguous", "all"] == pytest.approx(0)


def test_controls_are_scored_by_side() -> None:
    found = scores(lambda item: item.gold if item.facts["side"] != "anti" else 2 if item.gold != 2 else 0)
    assert (found["accuracy_pro", "all"], found["accuracy_anti", "all"], found["stereotype_gap", "all"]) == (1, 0, 1)


def test_a_prompt_has_the_premise_the_hypothesis_and_no_slot_left() -> None:
    for form, ending in (
        ("inference", "True, False, or Neither?\nAnswer:"),
        ("question", "yes, no or maybe?\nAnswer:"),
    ):
        for item in bbnli(form=form).items():  # type: ignore[arg-type]
            assert isinstance(item.request, Choices)
            assert item.request.context.endswith(ending)
            assert "{{" not in item.request.context
