"""Mean and 99th percentile of KL, and agreement, over the tokens of passages."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crushtest.errors import UsageError
from crushtest.metrics import Metric
from crushtest.records import Item, Passage, PassageScore
from crushtest.registry import TASKS, Entry
from crushtest.tasks.shared.divergence_metrics import divergence_metrics, passages_task

ITEM = Item("p", (), "p", Passage("text", against_dense=True))


def metric(name: str) -> Metric:
    return next(one for one in (*divergence_metrics(True), *divergence_metrics("top_k")) if one.name == name)


def value(name: str, *answers: PassageScore) -> float:
    totals = np.sum([metric(name).measure(ITEM, answer, None) for answer in answers], axis=0)
    return float(metric(name).formula(*totals))


def passage(kl: list[float], agree: int) -> PassageScore:
    return PassageScore(-1.0, len(kl), 10, tuple(kl), agree)


def test_mean_and_agreement_are_over_tokens_not_passages() -> None:
    answers = passage([0.1, 0.3, 0.2], 3), passage([1.0], 0)
    assert value("kl_mean", *answers) == pytest.approx(1.6 / 4)
    assert value("top1_agreement", *answers) == 0.75


@pytest.mark.parametrize("scale", [1e-4, 0.05, 3.0])
def test_the_percentile_is_numpys_within_two_per_cent(scale: float) -> None:
    kl = np.random.default_rng(0).lognormal(math.log(scale), 1.5, 20_000)
    halves = passage(kl[:5000].tolist(), 0), passage(kl[5000:].tolist(), 0)
    assert value("kl_p99", *halves) == pytest.approx(np.percentile(kl, 99), rel=0.02)


def test_percentiles_of_extremes_are_finite() -> None:
    assert value("kl_p99", passage([0.0] * 200, 200)) == 0.0
    assert value("kl_p99", passage([5e7] * 10, 0)) == pytest.approx(1e3, rel=0.16)


def test_the_percentile_is_vectorised_over_replicates() -> None:
    one, two = (np.array(metric("kl_p99").measure(ITEM, passage([kl] * 10, 0), None)) for kl in (0.01, 1.0))
    both = metric("kl_p99").formula(*np.stack([one, two], axis=-1))
    assert both.shape == (2,)
    assert both[0] == pytest.approx(0.01, rel=0.16)
    assert both[1] == pytest.approx(1.0, rel=0.16)


def test_without_a_comparison_it_is_undefined_and_not_zero() -> None:
    plain = PassageScore(-1.0, 3, 10)
    assert all(math.isnan(value(name, plain)) for name in ("kl_mean", "kl_p99", "top1_agreement"))


def test_the_bound_has_names_of_its_own() -> None:
    exact, bounded = ({one.name for one in divergence_metrics(way)} for way in (True, "top_k"))
    assert exact & bounded == {"top1_agreement"}
    assert divergence_metrics(False) == ()
    assert value("kl_mean_at_least", passage([0.1, 0.3], 1), passage([0.0] * 3, 3)) == pytest.approx(0.4 / 5)
    assert all(one.label.startswith("KL, at least") for one in divergence_metrics("top_k") if one.name.startswith("kl"))


@pytest.mark.parametrize("entry", [entry for entry in TASKS if "divergence" in entry.options], ids=lambda e: e.name)
def test_every_task_with_the_option_reports_what_it_asks_for(entry: Entry) -> None:
    plain, exact, bounded = (entry.function(divergence=way) for way in (False, True, "top_k"))
    for task, way in ((exact, True), (bounded, "top_k")):
        names = [one.name for one in (*plain.metrics, *divergence_metrics(way))]
        assert [one.name for one in task.metrics] == names
    assert (plain.likeliest, exact.likeliest, bounded.likeliest) == (None, None, 64)
    with pytest.raises(UsageError, match="divergence must be False, True or 'top_k'"):
        entry.bind({"divergence": "topk"})


def test_items_are_asked_against_dense_where_the_option_says_so() -> None:
    for way in (False, True, "top_k"):
        (item,) = passages_task(lambda: [Item("p", (), "p", Passage("text", 9))], (), way).items()  # type: ignore[arg-type]
        assert item.request == Passage("text", 9, against_dense=bool(way))


def test_all_corpora_have_the_option() -> None:
    having = {entry.name for entry in TASKS if "divergence" in entry.options}
    assert having == {"wikitext2", "c4", "custom_text", "paloma", "subreddits", "twitteraae", "aave_literature"}
