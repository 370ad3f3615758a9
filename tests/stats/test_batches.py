"""Replicates that are made metric by metric are those of all metrics together, and take no more memory than allowed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.metrics import accuracy, mean
from crushtest.records import ChoiceScores
from crushtest.stats import batches
from crushtest.stats.asked import Asked
from crushtest.stats.contrasts import contrast
from crushtest.stats.estimates import estimate
from crushtest.stats.item_sums import Measured
from crushtest.stats.sample import Sample
from support.building import make_items, seeded

NUMBER = mean("number", lambda item, answer, score: answer.logprobs[0], better="lower", with_gap=True, with_rest=True)
COUNTED = mean("counted", lambda item, answer, score: float(round(answer.logprobs[0])), better="zero", with_gap=True)
RIGHT = accuracy(with_gap=True)
JACKKNIFE = replace(NUMBER, name="jackknifed", interval="jackknife")
METRICS = (NUMBER, COUNTED, RIGHT, JACKKNIFE)


def study(seed: int, arms: int = 2, n: int = 120):
    rng = seeded(seed)
    groups = zip(rng.integers(0, 4, n), rng.integers(0, 3, n), strict=True)
    items = make_items([(f"a={a}", f"b={b}") for a, b in groups], [f"c{c}" for c in rng.integers(0, 30, n)])
    items = [replace(item, gold=0) for item in items]
    scores = rng.normal(size=(arms, n, 2))
    return items, [
        {item.id: ChoiceScores(tuple(map(float, row)), (1, 1), (1, 1)) for item, row in zip(items, each, strict=True)}
        for each in scores
    ]


def rows_of(metrics, items, arms):
    draws = [((arms[0], {}), (arms[2], {}))]
    return [
        *contrast("t", metrics, items, "arm", arms[0], {}, arms[1], {}, seed=1, replicates=60),
        *contrast("t", metrics, items, "arm", arms[0], {}, arms[1], {}, seed=1, replicates=60, draws=draws),
        *estimate("t", metrics, items, "arm", arms[1], {}, seed=1, replicates=60),
    ]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), metrics=st.sampled_from([METRICS, (COUNTED, RIGHT)]))
def test_rows_do_not_depend_on_how_many_metrics_are_held(seed: int, metrics) -> None:
    """To the last bit, whether sums are whole numbers, which are narrowed to a batch's columns, or not."""
    items, arms = study(seed, arms=3)
    together = rows_of(metrics, items, arms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "NUMBERS_KEPT", 1)
        assert list(map(repr, rows_of(metrics, items, arms))) == list(map(repr, together))


def test_no_more_replicates_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    items, arms = study(0)
    asked = Asked(METRICS, items)
    sums = [asked.summed(Measured(each, {})).sums for each in arms]
    one = 2 * (len(asked.layout.names) + len(asked.layout.unions)) * 50
    for allowed, expected in ((1, one), (2 * one, 2 * one), (100 * one, len(METRICS) * one)):
        monkeypatch.setattr(batches, "NUMBERS_KEPT", allowed)
        sample = Sample.draw(asked, sums, seed=0, replicates=50)
        assert sample.exchanged(0).groups.base.size == expected


def test_metrics_in_closed_form_are_not_resampled() -> None:
    items, arms = study(0)
    asked = Asked(METRICS, items)
    sums = [asked.summed(Measured(each, {})).sums for each in arms]
    sample = Sample.draw(asked, sums, seed=0, replicates=50)
    assert [sample.values(metric).groups.shape[-1] for metric in range(len(METRICS))] == [50, 50, 0, 0]
    assert [sample.exchanged(metric).groups.shape[-1] for metric in range(len(METRICS))] == [50] * 4
    assert np.isnan(sample.exchanged(3).groups).all()
