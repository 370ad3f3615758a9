"""The worst group: which one is named, with which band and p, and which groups are not searched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from crushtest.metrics import Metric
from crushtest.results import Contrast
from crushtest.stats import contrast
from crushtest.stats.rates import PairedCounts, paired_interval
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong, seeded


def searched(
    metric: Metric, sizes: Sequence[int], dense: Sequence[float], arm: Sequence[float], *, clusters: Sequence[str] = ()
) -> tuple[Contrast, dict[str, Contrast]]:
    """The row of the worst group, and the groups' own; `sizes` items of group g=0, g=1, ... one after the other."""
    items = make_items([(f"g={group}",) for group, size in enumerate(sizes) for _ in range(size)], clusters or None)
    answers = [right_or_wrong(given) if metric is ACCURACY else numbers(given) for given in (dense, arm)]
    rows = contrast("t", [metric], items, "a", answers[0], {}, answers[1], {}, seed=0, replicates=4000)
    (worst,) = [row for row in rows if row.metric == f"{metric.name}_worst"]
    return worst, {row.group: row for row in rows if row.group.startswith("g=")}


def flips(sizes: Sequence[int], down: Sequence[int]) -> list[bool]:
    """Return which answers stay right, group by group, if the first `down` of each group turn wrong."""
    return [place >= gone for size, gone in zip(sizes, down, strict=True) for place in range(size)]


def test_the_group_most_surely_harmed_is_named_not_the_largest_harm():
    """4 of 6 against 40 of 60: the band of the few items reaches nearer to 0."""
    sizes = (6, 60, 60)
    worst, groups = searched(ACCURACY, sizes, [True] * 126, flips(sizes, (4, 40, 0)))
    assert groups["g=0"].difference == pytest.approx(groups["g=1"].difference)
    assert worst.worst == "g=1"
    assert (worst.difference, worst.n, worst.clusters, worst.verdict) == (groups["g=1"].difference, 60, 60, "worse")
    assert worst.dense == 1.0
    assert worst.value == pytest.approx(1 / 3)


def test_the_bias_that_most_surely_grew_is_named_not_the_largest():
    """From 0 to 0.5 with little noise, against 0.7 with much: away from 0 counts, whichever way."""
    noise = seeded().normal(0, 1, (3, 40))
    noise -= noise.mean(axis=1, keepdims=True)
    for sign in (1, -1):
        arm = sign * (np.array([[0.7], [0.5], [0.0]]) + np.array([[1.2], [0.1], [0.1]]) * noise).ravel()
        worst, groups = searched(number(better="zero"), (40, 40, 40), np.zeros(120), arm)
        assert abs(groups["g=0"].difference) > abs(groups["g=1"].difference)
        assert (worst.worst, worst.verdict) == ("g=1", "worse")


def test_where_no_answer_changed_nothing_speaks_against_chance():
    worst, _ = searched(ACCURACY, (20, 20, 20), [True] * 60, [True] * 60)
    assert worst.p.value == 1
    assert worst.verdict == "no clear difference"


def test_where_none_is_surely_harmed_the_largest_harm_is_named():
    sizes = (20, 20, 20)
    worst, groups = searched(ACCURACY, sizes, [True] * 60, flips(sizes, (0, 2, 1)))
    assert worst.worst == "g=1"
    assert worst.verdict == "no clear difference"
    assert worst.intervals.at95.low < 0 < worst.intervals.at95.high
    assert worst.p.value > groups["g=1"].p.value - 1e-12


def test_the_band_is_the_groups_interval_at_5_percent_over_the_groups():
    """Three groups of 20: 98.33%. Nothing changed in two of them, and 3 of 20 in the third."""
    sizes = (20, 20, 20)
    worst, _ = searched(ACCURACY, sizes, [True] * 60, flips(sizes, (3, 0, 0)))
    down = (np.arange(20) < 3).astype(float)
    counts = PairedCounts(np.zeros(20), down, np.ones(20))
    assert worst.intervals.at95 == pytest.approx(paired_interval(counts, level=1 - 0.05 / 3))
    assert worst.intervals.at90 == pytest.approx(paired_interval(counts, level=1 - 0.10 / 3))
    assert worst.intervals.method.endswith("; simultaneous for 3 groups")


def test_a_band_with_a_direction_does_not_reach_across_zero():
    sizes = (20,) * 2
    worst, groups = searched(ACCURACY, sizes, [True] * 40, flips(sizes, (9, 3)))
    assert worst.verdict == groups["g=0"].verdict == "worse"
    assert worst.intervals.at95.high <= 0
    assert worst.intervals.at90.high <= 0
    base = seeded().normal(size=40)
    worst, _ = searched(number(), sizes, base, base + np.repeat([0.5, 0.1], 20) + seeded(1).normal(0, 0.3, 40))
    assert worst.verdict == "worse"
    assert worst.intervals.at95.low >= 0


def test_groups_that_cannot_be_tested_are_counted_and_not_searched():
    """The group of five items lost all of them; it is not the worst group, for nothing can be shown of it."""
    sizes = (5, 24, 24)
    worst, groups = searched(ACCURACY, sizes, [True] * 53, flips(sizes, (5, 12, 1)))
    assert groups["g=0"].difference == -1.0
    assert worst.worst == "g=1"
    assert "1 of 3 groups cannot be tested and are left out" in worst.caution
    assert "clusters" not in worst.caution
    assert worst.intervals.method.endswith("; simultaneous for 2 groups")


def test_a_worst_group_of_few_clusters_is_cautioned():
    sizes = (19, 20)
    worst, _ = searched(ACCURACY, sizes, [True] * 39, flips(sizes, (15, 0)))
    assert worst.caution == "g=0 has only 19 clusters"
    worst, _ = searched(ACCURACY, (20, 20), [True] * 40, flips((20, 20), (15, 0)))
    assert worst.caution is None


def test_without_two_groups_that_can_be_tested_there_is_no_worst():
    sizes = (5, 24, 4)
    worst, _ = searched(ACCURACY, sizes, [True] * 33, flips(sizes, (5, 12, 4)))
    assert (worst.verdict, worst.worst, worst.difference, worst.p) == ("undefined", None, None, None)
    assert worst.reason == "fewer than two of 3 groups can be tested"
    assert worst.n == 33


def test_a_harm_that_befell_all_groups_is_found_by_their_sum():
    """Eight groups of six clusters: chance alone brings one to its limit, and never all of them."""
    sizes = (6,) * 8
    worst, groups = searched(ACCURACY, sizes, [True] * 48, flips(sizes, (6,) * 8))
    assert worst.verdict == "worse"
    assert worst.p.value == groups["g=0"].p.value == 2 / 2**6, "its own, which is the larger"
    worst, _ = searched(ACCURACY, sizes, [True] * 24 + [False, True] * 12, flips(sizes, (6, 0, 0, 0, 1, 0, 1, 0)))
    assert worst.p.value > 2 / 2**6, "that of the search, which is the larger"


@pytest.mark.parametrize(
    ("better", "shifts", "named", "verdict"),
    [
        ("lower", (0.5, -1.0), "g=0", "worse"),
        ("higher", (0.5, -1.0), "g=1", "worse"),
        ("neither", (0.5, -1.0), "g=1", "changed"),
        ("zero", (0.5, -1.0), "g=0", "worse"),
    ],
)
def test_harm_is_a_move_in_the_bad_direction(better, shifts, named, verdict):
    """All values are near 1: to fall by 1 is to come nearer to 0."""
    rng = seeded()
    dense = 1 + rng.normal(0, 0.1, 80)
    arm = dense + np.repeat(shifts, 40) + rng.normal(0, 0.1, 80)
    worst, _ = searched(number(better=better), (40, 40), dense, arm)
    assert (worst.worst, worst.verdict) == (named, verdict)


def test_the_spread_of_the_groups_differences_is_weighted_by_items():
    sizes = (10, 30)
    worst, _ = searched(ACCURACY, sizes, [True] * 40, flips(sizes, (10, 0)))
    assert worst.spread.deviation == pytest.approx(np.sqrt(0.25 * 0.75))
    assert worst.spread.p < 0.01
