"""Resamples are left out only where no row changes without them, and rows are the same in threads."""

from dataclasses import replace

import numpy as np
import pytest

from crushtest.metrics import choice, mean
from crushtest.records import ChoiceScores, Item
from crushtest.stats import clusters, contrasts, estimates, needed, sample
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import total_by_cluster
from crushtest.stats.contrasts import contrast
from crushtest.stats.estimates import estimate
from crushtest.stats.item_sums import Measured
from crushtest.stats.needed import always_defined
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.building import make_items, seeded

COUNTED = mean("counted", lambda item, answer, score: float(choice(answer)), better="neither")
METRICS = (*bbq_metrics(), COUNTED)
BIAS = METRICS[4]


def study(count: int, *, named: int, n: int = 400) -> tuple[list[Item], list[dict[str, ChoiceScores]]]:
    """Return items in `count` clusters, and answers of two arms that name a person in the first `named` of them."""
    rng = seeded(count + named)
    cluster = rng.integers(0, count, n)
    items = make_items([(f"a={a}",) for a in rng.integers(0, 2, n)], [f"c{c}" for c in cluster])
    facts = [("ambiguous", None), ("disambiguated", "with"), ("disambiguated", "against")]
    items = [
        replace(item, gold=2, facts={"condition": condition, "biased": 0, "unknown": 2, "truth": truth})
        for item, (condition, truth) in zip(items, (facts[kind] for kind in rng.integers(0, 3, n)), strict=True)
    ]
    arms = []
    for _ in range(2):
        scores = rng.normal(size=(n, 3))
        scores[cluster >= named, 2] = 9.0
        answers = (ChoiceScores(tuple(map(float, row)), (1, 1, 1), (1, 1, 1)) for row in scores)
        arms.append({item.id: answer for item, answer in zip(items, answers, strict=True)})
    return items, arms


def rows_of(metrics, items, arms) -> list[str]:
    rows = [
        *contrast("t", metrics, items, "arm", arms[0], {}, arms[1], {}, seed=1, replicates=200),
        *estimate("t", metrics, items, "arm", arms[1], {}, seed=1, replicates=200),
    ]
    return list(map(repr, rows))


def is_always_defined(metric, items, arms) -> bool:
    asked = Asked([metric], items)
    sums = [asked.summed(Measured(each, {})).sums for each in arms]
    used = [np.logical_and.reduce([arm[0].scored for arm in sums])]
    return always_defined(metric, total_by_cluster([metric], asked.cells, asked.layout, sums, used), 0)


@pytest.mark.parametrize(("count", "named"), [(120, 120), (120, 70), (120, 4), (120, 1), (10, 10)])
def test_leaving_out_resamples_changes_no_row(monkeypatch: pytest.MonkeyPatch, count: int, named: int) -> None:
    items, arms = study(count, named=named)
    rows = rows_of(METRICS, items, arms)
    monkeypatch.setattr(needed, "always_defined", lambda *given: False)
    assert rows_of(METRICS, items, arms) == rows


def test_divisors_in_few_clusters_are_resampled() -> None:
    assert is_always_defined(BIAS, *study(120, named=120, n=1000))
    assert not is_always_defined(BIAS, *study(120, named=20, n=1000))
    assert not is_always_defined(replace(BIAS, divides_by=None), *study(120, named=120, n=1000))
    items, arms = study(120, named=2)
    assert any("of the resamples" in row for row in rows_of([BIAS], items, arms))


def test_rows_are_the_same_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    items, arms = study(120, named=70)
    alone = rows_of(METRICS, items, arms)
    for module in (clusters, contrasts, estimates, sample):
        monkeypatch.setattr(module, "MANY_ITEMS", 0)
    assert rows_of(METRICS, items, arms) == alone


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    items, arms = study(120, named=70)
    monkeypatch.setattr(contrasts, "MANY_ITEMS", 0)
    monkeypatch.setattr(contrasts, "_row", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rows_of(METRICS, items, arms)
