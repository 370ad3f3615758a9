"""A metric brings its label; rows made from its groups, and metrics without a label, get one from it."""

from __future__ import annotations

from crushtest.metrics import accuracy, by_reported_name, mean
from crushtest.report.wording import label_of

METRIC = mean(
    "politeness_mean",
    lambda item, answer, score: 0.0,
    better="higher",
    with_gap=True,
    with_rest=True,
    label="politeness",
    meaning="Mean of 0 to 1; 1: polite.",
)


def test_a_metric_is_called_what_it_says() -> None:
    assert label_of("politeness_mean", METRIC) == ("politeness", "Mean of 0 to 1; 1: polite.")


def test_derived_rows_take_the_label_of_their_metric() -> None:
    reported = by_reported_name([METRIC])
    labels = {name.removeprefix("politeness_mean"): label_of(name, metric) for name, metric in reported.items()}
    assert {suffix: label.text for suffix, label in labels.items()} == {
        "": "politeness",
        "_gap": "politeness: largest gap between groups",
        "_worst": "politeness: worst group",
        "_against_rest": "politeness: against the rest",
    }
    assert all(label.meaning.endswith("Mean of 0 to 1; 1: polite.") for label in labels.values())


def test_a_metric_without_a_label_is_its_name_in_words() -> None:
    plain = mean("grams_of_salt", lambda item, answer, score: 0.0, better="neither")
    assert label_of("grams_of_salt", plain) == ("grams of salt", "")
    assert label_of("grams_of_salt_worst", plain).text == "grams of salt: worst group"


def test_a_metric_called_like_a_row_of_another_is_itself() -> None:
    gap = accuracy("accuracy_gap", label="its own")
    reported = by_reported_name([accuracy(with_gap=True), gap])
    assert reported["accuracy_gap"] is gap
