from __future__ import annotations

import math
import re
from importlib.resources import files
from typing import Any

import pytest
import yaml

from crushtest.records import Choices, ChoiceScores, Item
from crushtest.tasks.probes.probe_dialect import probe_dialect
from crushtest.tasks.shared.dialect_rules import RULES
from support.respondents import value_of

DATA: dict[str, Any] = yaml.safe_load(files("crushtest.tasks.probes").joinpath("dialect.yaml").read_text("utf-8"))
ITEMS = probe_dialect().items()
AGAIN_AND_AGAIN = re.compile(
    r"\b(always|usually|every|most|[wW]henever|on (Sun|Mon|Fri)days|in the evenings|in the morning)\b"
)


def sides(item: Item) -> tuple[str, ...]:
    assert isinstance(item.request, Choices)
    return item.request.options


def test_there_are_at_least_a_hundred_pairs_and_nine_a_feature() -> None:
    assert len(ITEMS) >= 100
    for feature in RULES:
        assert len([item for item in ITEMS if item.groups == (f"feature={feature}",)]) >= 9


def test_every_rule_has_its_sources_and_every_source_its_rule() -> None:
    assert set(DATA["features"]) == set(RULES)
    assert all(feature["ewave"] and "Green" in feature["described"] for feature in DATA["features"].values())
    assert set(DATA["sentences"]) == {*RULES, "combined"}


def test_a_sentence_has_the_feature_it_is_filed_under_and_no_other() -> None:
    for item in ITEMS:
        part = item.id.partition("/")[0]
        assert item.groups == (f"feature={part}",) if part != "combined" else len(item.groups) >= 2, item.id


def test_no_sentence_is_there_twice() -> None:
    for side in (0, 1):
        assert len({sides(item)[side] for item in ITEMS}) == len(ITEMS)


def test_both_sides_are_whole_sentences() -> None:
    for item in ITEMS:
        for text in sides(item):
            assert re.fullmatch(r"[A-Z][A-Za-z',]*( [A-Za-z',]+)+[.?]", text), text


def test_a_request_has_an_empty_context_and_the_mainstream_side_first() -> None:
    for item in ITEMS:
        assert isinstance(item.request, Choices)
        assert item.request.context == ""
        assert not re.search(r"\bain't\b|\bdone (told|left|lost)\b|\bbe\b", sides(item)[0]), item.id


def test_habitual_be_stands_only_in_what_happens_again_and_again() -> None:
    for item in ITEMS:
        if "feature=habitual_be" in item.groups:
            assert AGAIN_AND_AGAIN.search(sides(item)[0]), sides(item)[0]


def test_stressed_been_stands_without_a_time_beside_it() -> None:
    for item in ITEMS:
        if "feature=remote_past_been" in item.groups:
            assert not re.search(r"\b(ago|for years|for a long time|since)\b", sides(item)[1]), sides(item)[1]


def test_metrics_are_as_worked_by_hand() -> None:
    # Two pairs. Mainstream: 8 ln2 nats over 4 bytes and 4 ln2 over 4: 12 bits, 8 bytes, 1.5 bits per byte.
    # Dialect: 6 ln2 nats over 2 bytes and 2 ln2 over 2: 8 bits, 4 bytes, 2 bits per byte.
    # The first pair's dialect side needs more bits per byte (3 to 2), the second's a hair fewer (1 to 1).
    bit = math.log(2)
    items = [Item(name, (), name, Choices("", ("abcd", "ab"))) for name in ("a/0", "a/1")]
    answers = {
        "a/0": ChoiceScores((-8 * bit, -6 * bit), (2, 1), (4, 2)),
        "a/1": ChoiceScores((-4 * bit, -2 * bit + 1e-12), (2, 1), (4, 2)),
    }
    values = {metric.name: value_of(metric, items, answers) for metric in probe_dialect().metrics}
    assert values == pytest.approx(
        {
            "dialect_gap_bits": 0.5,
            "dialect_ratio": 4 / 3,
            "dialect_less_likely_rate": 0.5,
            "log_likelihood_gap": -2 * bit,
            "bits_per_byte_aae": 2,
            "bits_per_byte_mainstream": 1.5,
        }
    )
