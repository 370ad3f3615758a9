"""Dialect gaps worked by hand, and held to the published tables of Xu et al. 2024."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from crushtest.metrics import Metric
from crushtest.records import Choices, ChoiceScores, Item, Passage, PassageScore
from crushtest.tasks.dialect_pairs import dialect_pairs
from crushtest.tasks.shared.dialect_metrics import DIALECT, MAINSTREAM, corpus_gaps

PAIR = Item("p", (), "p", Choices("", ("he is usually here", "he be here")))
EASY = ChoiceScores((-8.0, -10.0), (4, 3), (18, 10))
HARD = ChoiceScores((-9.0, -9.0), (4, 3), (20, 10))


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def value(metric: Metric, *answered: tuple[Item, object]) -> float:
    totals = np.sum([metric.measure(item, answer, None) for item, answer in answered], axis=0)
    return float(metric.formula(*totals))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Totals: dialect 19 nats, 6 tokens, 20 bytes; mainstream 17 nats, 8 tokens, 38 bytes.
        ("dialect_gap_bits", (19 / 20 - 17 / 38) / math.log(2)),
        ("dialect_ratio", (19 / 20) / (17 / 38)),
        ("dialect_log_ratio", math.log((19 / 20) / (17 / 38))),
        ("dialect_gap_perplexity", math.exp(19 / 6) - math.exp(17 / 8)),
        ("dialect_perplexity_ratio", math.exp(19 / 6 - 17 / 8)),
        ("dialect_perplexity_log_ratio", 19 / 6 - 17 / 8),
        ("bits_per_byte_dialect", 19 / 20 / math.log(2)),
        ("bits_per_byte_mainstream", 17 / 38 / math.log(2)),
        ("log_likelihood_gap", (2.0 + 0.0) / 2),
        ("dialect_less_likely_rate", 1.0),
    ],
)
def test_measures_of_pairs_by_hand(name: str, expected: float) -> None:
    metric = by_name(dialect_pairs().metrics)[name]
    assert value(metric, (PAIR, EASY), (PAIR, HARD)) == pytest.approx(expected)


def test_a_corpus_gives_the_numbers_of_pairs_with_the_same_totals() -> None:
    documents = [
        (Item("d", (), "d", Passage("d"), facts={"side": DIALECT}), PassageScore(-19.0, 6, 20)),
        (Item("m", (), "m", Passage("m"), facts={"side": MAINSTREAM}), PassageScore(-17.0, 8, 38)),
    ]
    pairs = by_name(dialect_pairs().metrics)
    for name, metric in by_name(corpus_gaps()).items():
        assert value(metric, *documents) == pytest.approx(value(pairs[name], (PAIR, EASY), (PAIR, HARD)))


def test_a_corpus_with_one_side_has_no_gap() -> None:
    document = Item("d", ("dialect=AA",), "d", Passage("d"), facts={"side": DIALECT})
    for metric in corpus_gaps():
        assert math.isnan(value(metric, (document, PassageScore(-19.0, 6, 20)))) == (
            metric.name != "bits_per_byte_dialect"
        )
        assert not metric.groups("dialect=AA")
        assert not metric.applies_to(Item("x", (), "x", Passage("neither side")))


def test_absolute_gaps_grow_in_123_of_128_pruned_models_and_ratios_in_76(data: Path) -> None:
    # Perplexities of TwitterAAE and of white-aligned tweets from the published table, put through our formulas.
    with (data / "xu2024/perplexity_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    dense = {row["base_model"]: row for row in rows if row["compression_method"] == "none"}
    pruned = [row for row in rows if row["compression_method"] in ("magnitude", "wanda", "sparsegpt", "gblm")]
    metrics = by_name(corpus_gaps())

    def gap(name: str, row: dict[str, str]) -> float:
        sides = (math.log(float(row["twitterAAE"])), 1.0, 1.0, math.log(float(row["twitter-white"])), 1.0, 1.0)
        return float(metrics[name].formula(*(np.array(number) for number in sides)))

    def grew(name: str) -> int:
        return sum(gap(name, row) > gap(name, dense[row["base_model"]]) for row in pruned)

    assert len(pruned) == 128
    assert grew("dialect_gap_perplexity") == 123
    assert grew("dialect_perplexity_ratio") == grew("dialect_perplexity_log_ratio") == 76
