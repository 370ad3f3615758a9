"""probe_dialect: how much harder a model finds a sentence in African American English than its mainstream counterpart.

Sentences of our own (`probes/dialect.yaml`), each with one documented grammatical feature of African American English
(the last few with more) applied by rule (dialect_rules.py), so the two sides mean the same and differ in nothing but
the feature. A smoke alarm, not a benchmark: written sentences with one feature are not how anybody speaks.

An item is a pair: the two sides are the options of one request with an empty context, so each is scored from the
model's beginning-of-text token on, as a text of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np

from crushtest.metrics import Array, Metric, mean, rate, ratio
from crushtest.records import Choices, ChoiceScores, Item, Task
from crushtest.registry import task
from crushtest.tasks.dialect_rules import render

MAINSTREAM, AAE = 0, 1
"""Places of the sides among the options of an item."""


@task("probe_dialect", dimension="dialect bias", source="written for this project", licence="Apache-2.0")
def probe_dialect() -> Task:
    """Sentence pairs, mainstream and African American English: how many more bits a byte does the dialect cost?

    Metrics, for all pairs and per grammatical feature (`feature=habitual_be`): `dialect_gap_bits`, bits per byte of the
    dialect side minus bits per byte of the mainstream side (0: no difference); `dialect_ratio`, the one divided by the
    other; both sides' bits per byte; `dialect_less_likely_rate`, the share of pairs whose dialect side needs more bits
    per byte; `log_likelihood_gap`, nats by which the mainstream sentence as a whole is the likelier of a pair. Sides
    differ in length by the feature itself, which the numbers per byte allow for and `log_likelihood_gap` does not.
    """
    return Task("choices", _items, _metrics())


def _metrics() -> tuple[Metric, ...]:
    return (
        _of_both_sides("dialect_gap_bits", lambda aae, mainstream: aae - mainstream, unit="bits"),
        _of_both_sides("dialect_ratio", ratio, unit="ratio"),
        rate("dialect_less_likely_rate", _dialect_less_likely, better="lower", state=_dialect_less_likely),
        mean("log_likelihood_gap", _log_likelihood_gap, better="lower", unit="nats"),
        _of_one_side("bits_per_byte_aae", AAE),
        _of_one_side("bits_per_byte_mainstream", MAINSTREAM),
    )


def _of_both_sides(name: str, compare: Callable[[Array, Array], Array], *, unit: str) -> Metric:
    """A metric that compares the bits per byte of the sides, each over the total of its sentences."""

    def formula(aae_nats: Array, aae_bytes: Array, nats: Array, size: Array) -> Array:
        return compare(_bits(aae_nats, aae_bytes), _bits(nats, size))

    def measure(item: Item, answer: ChoiceScores, score: float | None) -> tuple[float, ...]:
        return _nats_bytes(answer, AAE) + _nats_bytes(answer, MAINSTREAM)

    columns = ("aae_nats", "aae_bytes", "mainstream_nats", "mainstream_bytes")
    return Metric(name, columns, measure, formula, "lower", unit=unit, state=None)


def _of_one_side(name: str, side: int) -> Metric:
    return Metric(
        name,
        ("nats", "bytes"),
        lambda item, answer, score: _nats_bytes(answer, side),
        _bits,
        "lower",
        unit="bits",
        state=None,
    )


def _nats_bytes(answer: ChoiceScores, side: int) -> tuple[float, float]:
    return -answer.logprobs[side], float(answer.bytes[side])


def _bits(nats: Array, size: Array) -> Array:
    bits: Array = ratio(nats, size) / np.log(2.0)
    return bits


def _dialect_less_likely(item: Item, answer: ChoiceScores, score: float | None) -> bool:
    return answer.logprobs[AAE] / answer.bytes[AAE] < answer.logprobs[MAINSTREAM] / answer.bytes[MAINSTREAM]


def _log_likelihood_gap(item: Item, answer: ChoiceScores, score: float | None) -> float:
    return answer.logprobs[MAINSTREAM] - answer.logprobs[AAE]


def _items() -> Sequence[Item]:
    import yaml

    data = yaml.safe_load(files("crushtest.tasks.probes").joinpath("dialect.yaml").read_text("utf-8"))
    return [
        _item(f"{part}/{number}", sentence)
        for part, sentences in data["sentences"].items()
        for number, sentence in enumerate(sentences)
    ]


def _item(name: str, sentence: str) -> Item:
    pair = render(sentence)
    groups = tuple(f"feature={feature}" for feature in pair.features)
    return Item(name, groups, name, Choices("", (pair.mainstream, pair.aae)))
