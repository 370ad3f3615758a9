"""Corrections for many comparisons, against scipy and a worked case."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from crushtest.results import Contrast
from crushtest.stats.multiplicity import Correction, adjust, adjust_families, attribute_p, benjamini_hochberg, holm
from support.contrast_rows import with_columns
from support.gate_rows import UNTOUCHED


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_benjamini_hochberg_is_scipys(count):
    p = np.random.default_rng(count).random(count) ** 2
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


def test_benjamini_hochberg_keeps_ties_equal():
    adjusted = benjamini_hochberg(np.array([0.01, 0.01, 0.5]))
    assert adjusted == pytest.approx([0.015, 0.015, 0.5])


def test_holm_multiplies_the_smallest_by_all_and_never_decreases():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])


def test_no_adjusted_p_is_above_one_or_below_the_raw_one():
    p = np.random.default_rng(0).random(50)
    for adjusted in (benjamini_hochberg(p), holm(p)):
        assert (adjusted >= p - 1e-12).all()
        assert (adjusted <= 1).all()


def row(metric: str, group: str, p: float | None) -> Contrast:
    return with_columns(UNTOUCHED, metric=metric, group=group, p=p)


def adjusted(rows: list[Contrast], correction: Correction = "holm") -> list[float | None]:
    return [row.p and row.p.adjusted for row in adjust_families(rows, correction)]


def test_pooled_rows_of_all_metrics_are_one_family():
    assert adjusted([row("a", "all", 0.01), row("b", "all", 0.02), row("c", "all", 0.5)]) == pytest.approx(
        [0.03, 0.04, 0.5]
    )


def test_worst_groups_of_a_metric_are_a_family_and_its_gaps_another():
    rows = [
        row("m_worst", "age", 0.01),
        row("m_gap", "age", 0.02),
        row("m_worst", "race", 0.02),
        row("m_gap", "race", 0.03),
        row("other_worst", "age", 0.02),
        row("m", "all", 0.04),
    ]
    assert adjusted(rows) == pytest.approx([0.02, 0.04, 0.02, 0.04, 0.02, 0.04])


def test_an_attribute_may_be_found_by_the_spread_of_its_effects():
    worst = [
        with_columns(row("m_worst", a, p), spread=0.1, spread_p=s)
        for a, p, s in [("x", 0.01, 0.001), ("y", 0.04, 0.5), ("z", 0.9, 0.001)]
    ]
    assert adjusted(worst) == pytest.approx([0.015, 0.05, 0.9])
    assert adjusted([*worst, row("m", "y=1", 0.01)])[-1] == pytest.approx(0.05)


def test_an_attribute_whose_effects_are_alike_pays_for_both_tests():
    assert adjusted([with_columns(row("m_worst", "x", 0.02), spread=0.1, spread_p=0.9)]) == pytest.approx([0.025])


def test_a_collapse_of_six_clusters_is_found_in_its_attribute():
    [found] = adjusted([with_columns(row("m_worst", "x", 2 / 2**6), spread=0.0, spread_p=1.0)])
    assert found is not None
    assert found <= 0.05


def test_no_p_of_an_attribute_rejects_more_often_than_its_level():
    """Both p uniform and independent, the worst case that weights must pay for."""
    search, spread = np.random.default_rng(0).random((2, 20_000))
    rows = [with_columns(row("m_worst", "x", p), spread=0.1, spread_p=s) for p, s in zip(search, spread, strict=True)]
    assert np.mean([attribute_p(each) <= 0.05 for each in rows]) <= 0.05


def test_an_attributes_groups_are_a_family_and_none_is_below_its_worst():
    rows = [
        row("m", "age=old", 0.001),
        row("m", "age=young", 0.04),
        row("m", "race=x", 0.001),
        row("m", "race=y", 0.3),
        row("m_worst", "age", 0.01),
        row("m_worst", "race", 0.001),
        row("other", "age=old", 0.001),
    ]
    assert adjusted(rows) == pytest.approx([0.01, 0.04, 0.002, 0.3, 0.01, 0.002, 0.001])


def test_without_a_tested_worst_group_a_group_has_its_family_alone():
    assert adjusted([row("m", "a=1", 0.01), row("m", "a=2", 0.5), row("m_worst", "a", None)]) == [0.02, 0.5, None]


def test_rows_without_p_do_not_count_and_keep_their_place():
    rows = [row("a", "all", None), row("b", "all", 0.02), row("c", "all", None), row("d", "all", 0.01)]
    assert adjusted(rows) == pytest.approx([None, 0.02, None, 0.02])
    assert adjusted(rows[:1]) == [None]


def test_benjamini_hochberg_is_the_correction_unless_another_is_asked_for():
    rows = [row(name, "all", p) for name, p in zip("abc", (0.01, 0.03, 0.03), strict=True)]
    expected = list(false_discovery_control([0.01, 0.03, 0.03]))
    assert [each.p.adjusted for each in adjust(rows)] == pytest.approx(expected)
    assert [each.p.adjusted for each in adjust_families(rows)] == pytest.approx(expected)
    assert adjusted(rows) == pytest.approx([0.03, 0.06, 0.06])
