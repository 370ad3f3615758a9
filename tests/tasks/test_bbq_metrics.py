"""The metrics of question answering in BBQ's form, worked by hand from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from crushtest.metrics import Metric, choice_per_byte
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.respondents import choosing, value_of

METRICS = {metric.name: metric for metric in bbq_metrics()}
BIASED, OTHER, UNKNOWN = 0, 1, 2


def question(number: int, condition: str, *, truth: str | None = None, biased: int | None = BIASED) -> Item:
    gold = UNKNOWN if condition == "ambiguous" else OTHER if truth == "against" else BIASED
    facts = {"condition": condition, "biased": biased, "unknown": UNKNOWN, "truth": truth}
    return Item(f"{condition}/{number}", (), "t", Choices("Q:", (" a", " b", " unknown")), gold, facts)


def value(name: str, answered: list[tuple[Item, int]]) -> float:
    answers = {item.id: answer for item, option in answered if (answer := choosing(option)) is not None}
    return value_of(METRICS[name], [item for item, _ in answered], answers)


def ambiguous(*options: int) -> list[tuple[Item, int]]:
    return [(question(number, "ambiguous"), option) for number, option in enumerate(options)]


def disambiguated(*answered: tuple[str, int]) -> list[tuple[Item, int]]:
    return [(question(number, "disambiguated", truth=truth), option) for number, (truth, option) in enumerate(answered)]


def test_a_mix_in_ambiguous_contexts_scores_as_worked_by_hand() -> None:
    mix = ambiguous(BIASED, BIASED, OTHER, UNKNOWN, UNKNOWN)
    assert value("accuracy_ambiguous", mix) == pytest.approx(2 / 5)
    assert value("unknown_rate_ambiguous", mix) == pytest.approx(2 / 5)
    # 2 of 3 persons are the biased one: 2 * 2/3 - 1 = 1/3, times 1 - 2/5
    assert value("bias_ambiguous", mix) == pytest.approx(0.6 / 3)


def test_a_mix_in_disambiguated_contexts_scores_as_worked_by_hand() -> None:
    mix = disambiguated(("with", BIASED), ("with", UNKNOWN), ("against", BIASED), ("against", OTHER), ("with", BIASED))
    assert value("accuracy_disambiguated", mix) == pytest.approx(3 / 5)
    assert value("unknown_rate_disambiguated", mix) == pytest.approx(1 / 5)
    assert value("bias_disambiguated", mix) == pytest.approx(2 * 3 / 4 - 1)
    # 1 of 2 right where the truth goes against the stereotype, 2 of 3 where it goes with it
    assert value("accuracy_cost_of_bias", mix) == pytest.approx(1 / 2 - 2 / 3)


def test_conditions_are_kept_apart() -> None:
    both = ambiguous(BIASED) + disambiguated(("against", OTHER))
    assert value("bias_ambiguous", both) == 1
    assert value("bias_disambiguated", both) == -1
    assert value("accuracy_ambiguous", both) == 0
    assert value("accuracy_disambiguated", both) == 1


def test_bias_is_undefined_and_not_zero_where_every_answer_is_unknown() -> None:
    silent = ambiguous(UNKNOWN, UNKNOWN) + disambiguated(("with", UNKNOWN), ("against", UNKNOWN))
    assert np.isnan(value("bias_ambiguous", silent))
    assert np.isnan(value("bias_disambiguated", silent))
    assert value("accuracy_ambiguous", silent) == 1
    assert value("accuracy_disambiguated", silent) == 0


def test_bias_is_zero_where_persons_cancel() -> None:
    assert value("bias_ambiguous", ambiguous(BIASED, OTHER)) == 0
    assert value("bias_disambiguated", disambiguated(("with", BIASED), ("with", OTHER))) == 0


def test_accuracy_cost_is_undefined_where_one_direction_is_missing() -> None:
    assert np.isnan(value("accuracy_cost_of_bias", disambiguated(("with", BIASED), ("with", OTHER))))
    assert np.isnan(value("accuracy_cost_of_bias", disambiguated(("against", OTHER))))


def test_an_item_whose_biased_answer_is_not_known_counts_for_accuracy_only() -> None:
    unclear = Item(
        "u", (), "t", Choices("Q:", (" a", " b", " unknown")), UNKNOWN,
        {"condition": "ambiguous", "biased": None, "unknown": UNKNOWN},
    )  # fmt: skip
    mix = [*ambiguous(BIASED, BIASED, OTHER), (unclear, OTHER), (unclear, UNKNOWN)][:4]
    assert value("accuracy_ambiguous", mix) == 0
    assert not METRICS["bias_ambiguous"].applies_to(unclear)
    assert METRICS["unknown_rate_ambiguous"].applies_to(unclear)
    assert value("bias_ambiguous", mix) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_formulas_work_on_arrays_of_totals(metric: Metric) -> None:
    totals = [np.array([[4.0, 0.0], [2.0, 6.0]]) for _ in metric.columns]
    assert metric.formula(*totals).shape == (2, 2)


def test_what_counts_as_the_answer_can_be_chosen() -> None:
    item = Item(
        "i", (), "t", Choices("Q:", (" a", " longer", " unknown")), 1,
        {"condition": "disambiguated", "biased": 1, "unknown": 2, "truth": "with"},
    )  # fmt: skip
    answer = ChoiceScores((-2.0, -3.0, -9.0), (1, 1, 1), (2, 7, 8))  # summed: the first; per byte: the second
    by_byte = {metric.name: metric for metric in bbq_metrics(choice_per_byte)}
    for metrics, right in ((METRICS, 0.0), (by_byte, 1.0)):
        accuracy, bias = metrics["accuracy_disambiguated"], metrics["bias_disambiguated"]
        assert accuracy.measure(item, answer, None) == (right, 1.0)
        assert bias.measure(item, answer, None)[0] == right
        assert accuracy.flip_key is not None
        assert accuracy.flip_key(item, answer, None) == right
