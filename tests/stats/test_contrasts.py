"""Contrasts: pairing, flips, p, verdicts, what is missing and why."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as reference

from crushtest.records import Choices, ChoiceScores, Item
from crushtest.results import Interval
from crushtest.stats import contrast
from crushtest.stats.uncertainty import ALL_ALIKE
from crushtest.stats.verdicts import verdict
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded


def rows_of(metrics, items, dense, arm, **settings):
    return contrast("task", metrics, items, "arm", dense, {}, arm, {}, **({"seed": 0} | settings))


def row_of(metric, items, dense, arm, *, group="all", name=None, **settings):
    rows = rows_of([metric], items, dense, arm, **settings)
    (match,) = [row for row in rows if row.group == group and row.metric == (name or metric.name)]
    return match


def test_pairing_makes_a_small_shift_clear_among_unlike_items():
    base = seeded().normal(0, 10, 200)
    row = row_of(number(), make_items([()] * 200), numbers(base), numbers(base + seeded(1).normal(0.3, 1, 200)))
    assert row.intervals.at95.low > 0
    assert row.intervals.at95.high - row.intervals.at95.low < 0.5
    assert row.verdict == "worse"


def test_interval_agrees_with_scipys_paired_bootstrap():
    rng = seeded()
    dense = rng.exponential(size=300)
    arm = dense + rng.normal(0.1, 0.5, 300)
    row = row_of(number(), make_items([()] * 300), numbers(dense), numbers(arm))
    expected = reference.bootstrap(
        (arm - dense,), np.mean, method="BCa", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert row.intervals.at95.low == pytest.approx(expected.low, abs=0.05 * width)
    assert row.intervals.at95.high == pytest.approx(expected.high, abs=0.05 * width)


def test_p_of_a_mean_agrees_with_scipys_paired_permutation_test():
    rng = seeded()
    dense = rng.normal(size=40)
    arm = dense + rng.normal(0.3, 1, 40)
    row = row_of(number(), make_items([()] * 40), numbers(dense), numbers(arm))
    expected = reference.permutation_test(
        (arm, dense),
        lambda a, d, axis: (a - d).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    assert row.p.value == pytest.approx(expected.pvalue, abs=0.012)
    assert row.p.method == "exchange of arms within clusters"


def test_right_and_wrong_answers_get_mcnemars_exact_p_and_counted_flips():
    dense = [True] * 60 + [False] * 40
    arm = [True] * 45 + [False] * 15 + [True] * 4 + [False] * 36
    row = row_of(ACCURACY, make_items([()] * 100), right_or_wrong(dense), right_or_wrong(arm))
    assert (row.flips.total, row.flips.up, row.flips.down) == (19, 4, 15)
    assert (row.flips.at_risk_up, row.flips.at_risk_down) == (40, 60)
    assert row.p.value == row.flips.p == pytest.approx(reference.binomtest(4, 19).pvalue)
    assert row.difference == pytest.approx(-0.11)
    assert row.effect.ratio == pytest.approx(0.49 / 0.6)
    assert (row.effect.kind, row.verdict) == ("cohen_h", "worse")


def test_answers_in_clusters_do_not_pretend_to_be_independent():
    """The same flips, ten to a cluster, are three clusters that changed: no ground for a verdict."""
    items = make_items([()] * 100, [f"c{i // 10}" for i in range(100)])
    arm = [False] * 30 + [True] * 70
    row = row_of(ACCURACY, items, right_or_wrong([True] * 100), right_or_wrong(arm))
    assert row.p.method == "exact exchange of arms within clusters"
    assert row.p.value == 2 / 2**3
    assert row.flips.p == pytest.approx(reference.binomtest(0, 30).pvalue)
    assert row.verdict == "no clear difference"


def test_a_flip_is_another_option_even_when_both_are_wrong():
    items = [Item(str(i), (), f"c{i}", Choices("?", ("a", "b", "c")), gold=0) for i in range(30)]
    dense = {item.id: ChoiceScores((0.0, 1.0, 0.0), (1, 1, 1), (1, 1, 1)) for item in items}
    arm = dense | {"4": ChoiceScores((0.0, 0.0, 1.0), (1, 1, 1), (1, 1, 1))}
    row = row_of(ACCURACY, items, dense, arm)
    assert (row.flips.total, row.flips.up, row.flips.down, row.difference) == (1, 0, 0, 0.0)


def test_a_mean_of_numbers_has_no_flips():
    values = seeded().normal(size=30)
    row = row_of(number(), make_items([()] * 30), numbers(values), numbers(values + 1))
    assert (row.flips.total, row.flips.up, row.flips.down) == (None, None, None)


def test_only_items_that_both_arms_answered_count():
    dense = right_or_wrong([True] * 40)
    arm = right_or_wrong([True] * 40)
    del dense["0"], arm["1"], arm["2"]
    row = row_of(ACCURACY, make_items([()] * 40), dense, arm)
    assert (row.n, row.n_unscored) == (37, 3)


def test_nothing_changed_is_an_interval_and_not_a_certainty():
    answers = right_or_wrong([True, False] * 50)
    row = row_of(ACCURACY, make_items([()] * 100), answers, answers)
    assert (row.difference, row.p.value, row.flips.total) == (0.0, 1.0, 0)
    square = reference.norm.ppf(0.975) ** 2
    assert row.intervals.at95 == pytest.approx((-square / (100 + square), square / (100 + square)))
    assert row.verdict == "no clear difference"
    assert reference.binom.sf(5, 100, row.mde) == pytest.approx(0.8), "six items must change for a p below 0.05"


@pytest.mark.parametrize("arm", [[False, True, True, False], [True, True, False, False]])
def test_four_items_could_not_have_shown_any_difference_of_a_rate(arm):
    row = row_of(ACCURACY, make_items([()] * 4), right_or_wrong([True, True, False, False]), right_or_wrong(arm))
    assert row.intervals is not None
    assert row.mde is None


def test_an_arm_without_answers_is_undefined_and_says_so():
    row = row_of(ACCURACY, make_items([()] * 10), right_or_wrong([True] * 10), {})
    assert (row.value, row.difference, row.p, row.n, row.n_unscored) == (None, None, None, 0, 10)
    assert row.verdict == "undefined"
    assert "not answered" in row.reason


def test_one_arm_with_nothing_to_divide_by_leaves_the_other_its_value():
    metric = replace(
        ACCURACY, formula=lambda right, items: np.where(right > 0, right / items, np.nan), undefined_reason="none right"
    )
    row = row_of(metric, make_items([()] * 10), right_or_wrong([True] * 10), right_or_wrong([False] * 10))
    assert (row.dense, row.value, row.difference) == (1.0, None, None)
    assert row.reason == "none right (arm)"


def test_interval_that_resamples_often_leave_undefined_is_not_given():
    """Bias over two answers that name a person: a resample often holds none."""
    metric = replace(
        ACCURACY, formula=lambda right, items: np.where(right > 0, items / right, np.nan), undefined_reason="none"
    )
    answers = right_or_wrong([True] * 2 + [False] * 58)
    row = row_of(metric, make_items([()] * 60), answers, right_or_wrong([True] * 3 + [False] * 57))
    assert row.difference is not None
    assert (row.intervals, row.verdict) == (None, "inconclusive")
    assert "of the resamples" in row.reason


def test_ninety_percent_interval_lies_within_the_other():
    rng = seeded()
    row = row_of(number(), make_items([()] * 50), numbers(rng.normal(size=50)), numbers(rng.normal(size=50)))
    assert row.intervals.at95.low < row.intervals.at90.low < row.intervals.at90.high < row.intervals.at95.high


def of_attribute(row):
    return min(1.0, row.p.value / 0.8, row.spread.p / 0.2) if row.metric.endswith("_worst") else row.p.value


def test_p_is_adjusted_in_families_that_follow_the_question():
    """Pooled rows; per metric the worst groups of its attributes, and the gaps; per attribute its groups."""
    rng = seeded()
    items = make_items([(f"a={i % 5}", f"b={i % 3}") for i in range(200)])
    metrics = [replace(ACCURACY, with_gap=True), number()]
    rows = rows_of(metrics, items, numbers(rng.normal(size=200)), numbers(rng.normal(size=200)))
    worst = {(row.metric, row.group): row.p.adjusted for row in rows if row.metric.endswith("_worst")}
    families = {}
    for row in rows:
        name = "pooled" if row.group == "all" else (row.metric, row.group.partition("=")[0] if "=" in row.group else "")
        families.setdefault(name, []).append(row)
    assert sorted(len(family) for family in families.values()) == [2, 2, 2, 2, 3, 3, 5, 5]
    for family in families.values():
        expected = reference.false_discovery_control([of_attribute(row) for row in family])
        least = [worst.get((f"{row.metric}_worst", row.group.partition("=")[0]), row.p.value) for row in family]
        assert [row.p.adjusted for row in family] == pytest.approx(list(np.maximum(expected, least)))
    assert max(worst.values()) > min(row.p.value for row in rows if "=" in row.group), "the search costs something here"


def test_worst_group_is_named_with_a_wider_interval_than_its_own():
    rng = seeded()
    items = make_items([(f"a={i % 4}",) for i in range(400)])
    dense = rng.normal(size=400)
    harm = np.where(np.arange(400) % 4 == 2, 1.0, 0.1)
    rows = rows_of([number()], items, numbers(dense), numbers(dense + harm + rng.normal(0, 0.5, 400)))
    (worst,) = [row for row in rows if row.metric == "number_worst"]
    (own,) = [row for row in rows if row.group == "a=2"]
    assert worst.group == "a"
    assert worst.worst == "a=2"
    assert worst.difference == own.difference
    assert worst.intervals.at95.low < own.intervals.at95.low < own.intervals.at95.high < worst.intervals.at95.high
    assert worst.verdict == "worse"
    assert worst.spread.deviation == pytest.approx(
        np.std([row.difference for row in rows if row.group.startswith("a=")])
    )
    assert worst.spread.p < 0.01


def test_equal_effects_have_no_clear_spread():
    rng = seeded()
    items = make_items([(f"a={i % 4}",) for i in range(400)])
    dense = rng.normal(size=400)
    rows = rows_of([number()], items, numbers(dense), numbers(dense + 1 + rng.normal(0, 0.5, 400)))
    (worst,) = [row for row in rows if row.metric == "number_worst"]
    assert worst.verdict == "worse"
    assert worst.spread.p > 0.05


@pytest.mark.parametrize(
    ("better", "difference", "interval", "p", "distance", "expected"),
    [
        ("higher", -0.1, (-0.2, -0.05), 0.01, None, "worse"),
        ("higher", 0.1, (0.05, 0.2), 0.01, None, "better"),
        ("lower", 0.1, (0.05, 0.2), 0.01, None, "worse"),
        ("neither", 0.1, (0.05, 0.2), 0.01, None, "changed"),
        ("lower", 0.1, (-0.05, 0.2), 0.3, None, "no clear difference"),
        ("lower", 0.1, (0.01, 0.2), 0.125, None, "no clear difference"),
        ("lower", 0.1, (0.01, 0.2), 0.051, None, "no clear difference"),
        ("lower", 0.1, (0.01, 0.2), 0.05, None, "worse"),
        ("lower", 0.1, (0.01, 0.2), None, None, "worse"),
        ("lower", 0.1, (0.0, 0.2), 0.01, None, "no clear difference"),
        ("lower", -0.1, (-0.2, 0.0), 0.01, None, "no clear difference"),
        ("zero", -0.1, (-0.2, -0.05), 0.01, None, "changed"),
        ("lower", 0.1, None, None, None, "inconclusive"),
        ("zero", -0.1, (-0.2, -0.05), 0.01, (-0.2, -0.05), "better"),
        ("zero", -0.3, (-0.4, -0.2), 0.01, (-0.05, 0.1), "changed"),
        ("zero", -0.3, (-0.4, -0.2), 0.01, (0.02, 0.1), "worse"),
    ],
)
def test_verdict(better, difference, interval, p, distance, expected):
    intervals = [Interval(*ends) if ends else None for ends in (interval, distance)]
    assert verdict(better, difference, intervals[0], p, intervals[1]) == expected


def test_a_bias_that_only_changed_its_sign_has_changed_and_is_not_better():
    signed = number("bias", better="zero")
    values = seeded().normal(0, 0.3, 200)
    row = row_of(signed, make_items([()] * 200), numbers(1 + values), numbers(-1 - values))
    assert row.difference == pytest.approx(-2, abs=0.2)
    assert row.verdict == "changed"
    nearer = row_of(signed, make_items([()] * 200), numbers(1 + values), numbers(0.4 + 0.9 * values))
    assert nearer.verdict == "better"


def test_a_difference_that_is_rounding_alone_is_zero_and_excludes_nothing():
    """0.1 + 0.2 against 0.3 in every item: no answer of the two differs by more than the last digit."""
    row = row_of(number(), make_items([()] * 30), numbers([0.1 + 0.2] * 30), numbers([0.3] * 30))
    assert (row.difference, row.intervals, row.p) == (0.0, None, None)
    assert row.verdict == "inconclusive"
    assert row.reason == ALL_ALIKE


@pytest.mark.parametrize(("before", "after", "verdict"), [(0.0, 0.7, "worse"), (0.7, 0.0, "better")])
def test_a_gap_that_clearly_grows_or_shrinks_says_so(before, after, verdict):
    items = make_items([(f"a={i % 2}",) for i in range(400)])
    shares = [np.where(np.arange(400) % 2, 0.9 - lag, 0.9) for lag in (before, after)]
    dense, arm = (right_or_wrong(np.arange(400) // 2 % 10 < 10 * share - 1e-9) for share in shares)
    row = row_of(replace(ACCURACY, with_gap=True), items, dense, arm, group="a", name="accuracy_gap")
    assert row.difference == pytest.approx(after - before)
    assert row.intervals.at95.low <= row.difference <= row.intervals.at95.high
    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("count", "clusters", "flipped", "expected"),
    [
        (100, 20, 10, None),
        (100, 19, 10, "only 19 clusters to resample"),
        (99, 20, 10, "only 99 items"),
        (100, 20, 9, "only 9 items decide it"),
        (99, 19, 0, "only 19 clusters to resample; only 99 items; only 0 items decide it"),
    ],
)
def test_a_rate_of_few_clusters_items_or_flips_is_cautioned(count, clusters, flipped, expected):
    items = make_items([()] * count, [f"c{place % clusters}" for place in range(count)])
    arm = [place >= flipped for place in range(count)]
    assert row_of(ACCURACY, items, right_or_wrong([True] * count), right_or_wrong(arm)).caution == expected


def test_a_mean_that_a_few_clusters_dominate_is_cautioned():
    values = seeded().normal(size=100)
    even = np.sort(values) - np.sort(values)[::-1]
    for change, caution in ((even, None), (np.exp(3 * values), "a few clusters dominate it")):
        row = row_of(number(), make_items([()] * 100), numbers(values), numbers(values + change))
        assert row.caution == caution
