"""probe_dialect: how much harder a model finds a sentence in African American English than its mainstream counterpart.

We wrote the sentences (`probes/dialect.yaml`). A rule (dialect_rules.py) applies one documented grammatical feature of
African American English to each, and more than one to the last few. So the two sides mean the same and differ only in
the feature. A smoke alarm, not a benchmark: nobody speaks in written sentences with one feature.

An item is a pair. The two sides are the options of one request with an empty context, so each is scored after the
model's start token, as a text of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.probes.wording import read_wording
from crushtest.tasks.shared.dialect_metrics import (
    Side,
    bits_gaps,
    less_likely_rate,
    log_likelihood_gap,
    of_pair,
    side_bits,
)
from crushtest.tasks.shared.dialect_rules import render


@task("probe_dialect", dimension="language and dialect", source="written for this project", licence="Apache-2.0")
def probe_dialect() -> Task:
    """Sentence pairs, mainstream and African American English: how many more bits per byte does the dialect cost?

    Metrics, for all pairs and per grammatical feature (`feature=habitual_be`): `dialect_gap_bits`, bits per byte of the
    dialect side minus bits per byte of the mainstream side (0: no difference); `dialect_ratio`, the former divided by
    the latter; both sides' bits per byte; `dialect_less_likely_rate`, the share of pairs whose dialect side needs more
    bits per byte; `log_likelihood_gap`, the mean nats by which the whole mainstream sentence is the likelier. The
    feature changes a sentence's length, which the numbers per byte allow for and `log_likelihood_gap` does not.

    A model that has lost its English finds both sides unlikely, and the gap between them narrows: read a smaller gap
    beside `bits_per_byte_mainstream`, and call it better only where that has not risen.

    Items: 138 pairs, each its own cluster. Groups: `feature`, the grammatical features of the dialect side.

    Known problems: rules make the sentences, so a feature stands where grammar allows it and not necessarily where a
    speaker would put it; a feature has only nine to sixteen pairs.
    """
    gap, quotient, _ = bits_gaps(of_pair)
    sides = side_bits(Side("aae", "African American English"))
    return Task("choices", _items, (gap, quotient, less_likely_rate(), log_likelihood_gap(), *sides))


def _items() -> Sequence[Item]:
    data = read_wording("dialect.yaml")
    items = []
    for part, sentences in data["sentences"].items():
        for number, sentence in enumerate(sentences):
            name, pair = f"{part}/{number}", render(sentence)
            groups = tuple(f"feature={feature}" for feature in pair.features)
            items.append(Item(name, groups, name, Choices("", (pair.mainstream, pair.aae))))
    return items
