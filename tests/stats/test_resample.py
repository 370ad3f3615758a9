"""Draws: what is drawn, how it is cut up, and that collapsing equal clusters changes no distribution."""

import numpy as np
import pytest
from scipy import stats as reference

from crushtest.stats import clusters, resample
from crushtest.stats.clusters import lay_out, total_by_cluster
from crushtest.stats.group_sums import plan
from crushtest.stats.intervals import Bootstrap
from crushtest.stats.item_sums import measure_sums
from crushtest.stats.weights import resampled, swapped
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded


def made(n=300, groups=7, clusters=40, seed=0):
    rng = seeded(seed)
    items = make_items(
        [(f"a={g}", f"b={g % 3}") for g in rng.integers(0, groups, n)], [f"c{c}" for c in rng.integers(0, clusters, n)]
    )
    sums = [measure_sums(number(), items, numbers(rng.normal(size=n)), {})]
    return items, lay_out(items), sums


@pytest.mark.parametrize("clusters", [10, 2500])
def test_a_resample_draws_as_many_clusters_as_there_are(clusters):
    weights = resampled(seeded(), np.ones(clusters, np.int64), 50)
    assert weights.shape == (50, clusters)
    assert (weights.sum(axis=1) == clusters).all()


def test_many_clusters_are_drawn_as_often_as_few():
    """The fast path must follow the binomial distribution that drawing one by one follows."""
    weights = resampled(seeded(), np.ones(4000, np.int64), 300)
    counts = np.bincount(weights.astype(int).ravel(), minlength=8)[:6]
    expected = reference.binom.pmf(np.arange(6), 4000, 1 / 4000)
    assert counts / weights.size == pytest.approx(expected, abs=4 * np.sqrt(0.25 / weights.size) + 2e-5)
    pairs = np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]
    assert abs(pairs) < 4 / np.sqrt(300)


def test_an_exchange_swaps_each_cluster_half_the_time():
    weights = swapped(seeded(), np.ones(500, np.int64), 400)
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert weights.mean() == pytest.approx(0.5, abs=0.01)


def test_values_depend_on_the_seed_and_not_on_the_size_of_the_pieces(monkeypatch):
    _, layout, sums = made()
    units = total_by_cluster([number()], [None], layout, [sums], [sums[0].scored])
    runs = []
    for size in (1, 4000, 10**9):
        monkeypatch.setattr(resample, "NUMBERS_AT_ONCE", size)
        runs.append(resample.bootstrap([number()], units, seed=3, replicates=950).groups)
    assert np.allclose(runs[0], runs[1], rtol=0, atol=1e-12)
    assert np.allclose(runs[0], runs[2], rtol=0, atol=1e-12)
    other = resample.bootstrap([number()], units, seed=4, replicates=950).groups
    assert not np.allclose(runs[0], other)


def test_threads_change_nothing(monkeypatch):
    _, layout, sums = made()
    units = total_by_cluster([number()], [None], layout, [sums], [sums[0].scored])
    alone = resample.bootstrap([number()], units, seed=3, replicates=600).groups
    monkeypatch.setattr(resample, "WORTH_THREADS", 0)
    monkeypatch.setattr(resample, "NUMBERS_AT_ONCE", 1)
    together = resample.bootstrap([number()], units, seed=3, replicates=600).groups
    assert np.allclose(alone, together, rtol=0, atol=1e-12)


def test_totals_are_the_same_however_they_are_multiplied():
    _, layout, sums = made(n=2000, clusters=900)
    units = total_by_cluster([number()], [None], layout, [sums], [sums[0].scored])
    weights = seeded().integers(0, 4, (20, len(units.counts))).astype(float)
    totals = plan(units, [rows.columns for rows in units.groups]).totals(weights)
    for group, rows in enumerate(units.groups):
        assert totals.of_one(group, slice(None)) == pytest.approx((weights[:, rows.units] @ rows.columns).T)


def test_collapsing_equal_clusters_keeps_every_total_and_the_distribution(monkeypatch):
    rng = seeded()
    items = make_items([(f"a={g}",) for g in rng.integers(0, 4, 3000)])
    sums = [measure_sums(ACCURACY, items, right_or_wrong(rng.random(3000) < 0.3), {})]
    layout = lay_out(items)
    collapsed = total_by_cluster([ACCURACY], [None], layout, [sums], [sums[0].scored])
    monkeypatch.setattr(clusters, "WORTH_COLLAPSING", 10**9)
    whole = total_by_cluster([ACCURACY], [None], layout, [sums], [sums[0].scored])
    assert len(collapsed.counts) == 8
    assert collapsed.counts.sum() == len(whole.counts) == 3000
    assert resample.observed([ACCURACY], collapsed).groups == pytest.approx(resample.observed([ACCURACY], whole).groups)
    few, many = (resample.bootstrap([ACCURACY], u, seed=1, replicates=4000).groups[0, 0] for u in (collapsed, whole))
    for group in range(len(layout.names)):
        assert reference.ks_2samp(few[group], many[group]).pvalue > 1e-3
        assert few[group].std() == pytest.approx(many[group].std(), rel=0.05)


@pytest.mark.parametrize("starts", [(0,), (150,), (0, 300), (100, 300, 500)])
def test_totals_of_a_group_in_runs_of_neighbours_are_the_plain_product(starts):
    """Each run holds 100 of 1000 units; a group of so few is not worth a part of the wide product."""
    inside = {place for start in starts for place in range(start, start + 100)}
    items = make_items([("a=x",) if place in inside else ("a=y",) for place in range(1000)])
    values = seeded().normal(size=1000)
    sums = [measure_sums(number(), items, numbers(values), {})]
    units = total_by_cluster([number()], [None], lay_out(items), [sums], [sums[0].scored])
    weights = seeded(1).integers(0, 4, (5, len(units.counts))).astype(float)
    products = plan(units, [rows.columns for rows in units.groups])
    assert any(runs is not None and len(runs) == len(starts) for _, runs in products.runs)
    totals = products.totals(weights)
    for group, rows in enumerate(units.groups):
        assert totals.of_one(group, slice(None)) == pytest.approx((weights[:, rows.units] @ rows.columns).T)


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.1])
@pytest.mark.parametrize("skew", [-0.1, 0.0, 0.15])
def test_the_ends_of_an_interval_follow_efrons_formula(shift: float, skew: float) -> None:
    """Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987: with Student's quantile, wider for few clusters."""
    clusters = 12
    values = np.linspace(0, 1, 100_001)
    quantile = reference.t.ppf([0.025, 0.975], clusters - 1) * np.sqrt(clusters / (clusters - 1))
    expected = reference.norm.cdf(shift + (shift + quantile) / (1 - skew * (shift + quantile)))
    assert tuple(Bootstrap(values, shift, skew, clusters).interval(0.95)) == pytest.approx(tuple(expected), abs=1e-4)
