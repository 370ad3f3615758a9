"""What holds for every table of answers: any metric, any groups, clusters of 1 to n, answers missing here and there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.gate.policy import Margin, Rule
from crushtest.gate.rows import check_row
from crushtest.metrics import Array, Metric, rate, ratio
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.results import Contrast
from crushtest.stats import contrast
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.building import ACCURACY, number
from support.contrast_rows import with_columns

SEED = 0
REPLICATES = 200
MIRRORED = {"better": "worse", "worse": "better"}


def _largest_cell(total: Array, items: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.fmax.reduce(ratio(total, items), axis=-1)


CELLS = Metric(
    "cells",
    ("total", "items"),
    lambda item, answer, score: (answer.logprobs[0], 1.0),
    _largest_cell,
    "lower",
    flip_key=None,
    cell_of=lambda item: str(item.facts["cell"]),
)
WRONG = rate(
    "wrong", lambda item, answer, score: _option(answer) != item.gold, better="lower", with_gap=True, with_rest=True
)
KNOWN = rate("known", lambda item, answer, score: _option(answer) != 2, better="neither", with_gap=True)
METRICS: tuple[Metric, ...] = (
    replace(ACCURACY, with_gap=True, with_rest=True),
    WRONG,
    KNOWN,
    number("mean", better="lower", with_gap=True, with_rest=True),
    number("drift", better="zero"),
    CELLS,
    *(replace(metric, with_gap=True) for metric in bbq_metrics()),
)


def _option(answer: ChoiceScores) -> int:
    return int(np.argmax(answer.logprobs))


@dataclass(frozen=True)
class Table:
    """Items in groups and clusters, and the options that two arms chose: a number each, None where not answered."""

    items: list[Item]
    dense: tuple[float | None, ...]
    arm: tuple[float | None, ...]


def answers(chosen: Sequence[float | None]) -> dict[str, ChoiceScores]:
    """The option (0, 1, 2) is that of the whole part of the number; what is left moves its log-probability a little."""
    made = {}
    for place, value in enumerate(chosen):
        if value is not None:
            logprobs = [-1.0, -1.25, -1.5]
            logprobs[int(value)] = 0.5 + value % 1
            made[str(place)] = ChoiceScores(tuple(logprobs), (1, 1, 1), (1, 1, 1))
    return made


def make_item(place: int, cluster: int, groups: tuple[str, ...]) -> Item:
    ambiguous = place % 3 == 0
    gold = 2 if ambiguous else place % 3 - 1
    facts = {
        "condition": "ambiguous" if ambiguous else "disambiguated",
        "biased": 0,
        "unknown": 2,
        "truth": None if ambiguous else ("with", "against")[gold],
        "cell": cluster % 3,
    }
    return Item(str(place), groups, f"c{cluster}", Choices("?", ("a", "b", "unknown")), gold, facts)


@st.composite
def item_lists(draw: st.DrawFn, *, least_clusters: int = 1) -> list[Item]:
    """Up to 30 items in up to as many clusters, in groups of two attributes by item or by cluster."""
    count = draw(st.integers(max(2, least_clusters), 30))
    clusters = draw(st.integers(least_clusters, count))
    by_cluster = draw(st.booleans())
    sizes = draw(st.tuples(st.integers(1, 4), st.integers(0, 2)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    cluster = np.concatenate([np.arange(clusters), rng.integers(0, clusters, count - clusters)])
    made = []
    for place in range(count):
        key = int(cluster[place]) if by_cluster else place
        groups = tuple(f"{name}={key % size}" for name, size in zip("ab", sizes, strict=True) if size)
        made.append(make_item(place, int(cluster[place]), groups))
    return made


@st.composite
def chosen(draw: st.DrawFn, count: int) -> tuple[float | None, ...]:
    """Options by lot: all alike, mostly alike, or any; whole numbers (few values) or measured ones."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    shares = draw(st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.9, 0.05, 0.05), (0.4, 0.4, 0.2)]))
    options = rng.choice(3, count, p=shares).astype(float)
    if draw(st.booleans()):
        options += rng.integers(0, 1000, count) / 1024
    lost = rng.random(count) < (draw(st.sampled_from([0.0, 0.0, 0.2])))
    return tuple(None if gone else float(option) for gone, option in zip(lost, options, strict=True))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Two arms that answered on their own, or one that differs from the other in a share of its answers."""
    items = draw(item_lists())
    dense, arm = (draw(chosen(len(items))) for _ in range(2))
    if draw(st.booleans()):
        rng, share = np.random.default_rng(draw(st.integers(0, 1 << 16))), draw(st.sampled_from([0.0, 0.05, 0.3, 0.9]))
        keeps = rng.random(len(items)) >= share
        arm = tuple(old if keep else new for old, new, keep in zip(dense, arm, keeps, strict=True))
    return Table(items, dense, arm)


def rows_of(table: Table, metrics: Sequence[Metric] = METRICS) -> list[Contrast]:
    given_ = (table.items, "arm", answers(table.dense), {}, answers(table.arm), {})
    return contrast("t", metrics, *given_, seed=SEED, replicates=REPLICATES)


def by_name(rows: Sequence[Contrast]) -> dict[tuple[str, str], Contrast]:
    return {(row.metric, row.group): row for row in rows}


@settings(max_examples=30)
@given(tables())
def test_an_interval_holds_its_difference(table: Table) -> None:
    for row in rows_of(table):
        if row.intervals is not None:
            (low, high), (low90, high90) = row.intervals.at95, row.intervals.at90
            assert low <= row.difference <= high, row
            assert low - 1e-9 <= low90 <= high90 <= high + 1e-9, row
            assert row.reason is None or row.verdict == "inconclusive", row
        else:
            assert row.reason, row
            assert row.verdict in ("inconclusive", "undefined"), row
            assert (row.p, row.mde) == (None, None), row


@settings(max_examples=20)
@given(tables())
def test_swapping_the_arms_mirrors_the_row(table: Table) -> None:
    """The search for the worst group looks for another harm then: its rows are not mirrored."""
    there = by_name(rows_of(table))
    back = by_name(rows_of(replace(table, dense=table.arm, arm=table.dense)))
    assert there.keys() == back.keys()
    for name, row in there.items():
        mirror = back[name]
        if name[0].endswith("_worst"):
            continue
        assert (row.dense, row.value) == pytest.approx((mirror.value, mirror.dense), abs=1e-9), row
        assert (row.p is None) == (mirror.p is None), row
        if row.p is not None:
            assert row.p.value == pytest.approx(mirror.p.value, abs=1e-9), row
        assert mirror.verdict == MIRRORED.get(row.verdict, row.verdict), (row, mirror)
        if row.intervals is not None:
            assert mirror.intervals.at95 == pytest.approx((-row.intervals.at95.high, -row.intervals.at95.low), abs=1e-9)


@settings(max_examples=15)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(table: Table, lots) -> None:
    """But for the luck of the draws, which decides also whether more than 5% of the resamples are undefined."""
    shuffled = list(table.items)
    lots.shuffle(shuffled)
    there, again = by_name(rows_of(table)), by_name(rows_of(replace(table, items=shuffled)))
    for name, row in there.items():
        other = again[name]
        if row.worst != other.worst:  # which of two near groups is the worst is the luck of the draws as well
            continue
        assert (row.value, row.difference) == pytest.approx((other.value, other.difference)), row
        drawn = name[0].endswith("_worst") or (row.intervals and row.intervals.method.startswith(("BCa", "band")))
        if row.intervals is not None and other.intervals is not None and not drawn:
            assert row.intervals.at95 == pytest.approx(other.intervals.at95), row


@settings(max_examples=15)
@given(item_lists(), st.data())
def test_identical_arms_are_never_worse(items: list[Item], data: st.DataObject) -> None:
    same = data.draw(chosen(len(items)))
    for row in rows_of(Table(items, same, same)):
        assert row.verdict in ("no clear difference", "inconclusive", "undefined"), row
        assert row.difference in (0.0, None), row


@settings(max_examples=20)
@given(item_lists(least_clusters=6), st.data())
def test_a_collapse_is_always_worse(items: list[Item], data: st.DataObject) -> None:
    """Every answer right before and wrong after, in whatever groups: worse in each that has six clusters."""
    measured = data.draw(st.booleans())
    shift = [place / 64 if measured else 0.0 for place in range(len(items))]
    right = tuple(item.gold + part for item, part in zip(items, shift, strict=True))
    wrong = tuple((item.gold + 1) % 3 + part for item, part in zip(items, shift, strict=True))
    for row in rows_of(Table(items, right, wrong), METRICS[:2]):
        if row.metric in ("accuracy", "wrong") and row.clusters >= 6:
            assert row.verdict == "worse", row
        if row.metric in ("accuracy_worst", "wrong_worst") and row.worst:
            assert row.verdict == "worse", row


@settings(max_examples=20)
@given(st.integers(6, 40), st.integers(0, 6), st.integers(6, 30), st.integers(0, 1 << 16))
def test_more_of_the_same_harm_never_turns_worse_into_something_milder(
    right: int, up: int, down: int, seed: int
) -> None:
    """In a rate of items that are each their own cluster: one right answer of the arm after the other becomes wrong.

    In clusters it does not hold: harm that spreads to items of clusters without any can move together less than before.
    """
    items = [make_item(place, place, ()) for place in range(right + up + down)]
    outcomes = np.random.default_rng(seed).permutation(np.repeat(["kept", "up", "down"], [right, up, down])).tolist()
    correct, wrong = [float(item.gold) for item in items], [float((item.gold + 1) % 3) for item in items]
    dense = tuple(wrong[at] if outcome == "up" else correct[at] for at, outcome in enumerate(outcomes))
    arm = [wrong[at] if outcome == "down" else correct[at] for at, outcome in enumerate(outcomes)]
    was_worse = False
    for at in [None, *(at for at, outcome in enumerate(outcomes) if outcome != "down")]:
        if at is not None:
            arm[at] = wrong[at]
        row = rows_of(Table(items, dense, tuple(arm)), METRICS[:1])[0]
        assert row.verdict == "worse" or not was_worse, row
        was_worse = row.verdict == "worse"
    assert was_worse


@settings(max_examples=20)
@given(tables(), st.sampled_from([1e-9, 0.01, 0.5]), st.sampled_from([None, "move", "rise", "fall", "from_zero"]))
def test_an_interval_of_no_width_never_passes_an_equivalence_rule(table: Table, margin: float, direction) -> None:
    for row in rows_of(table):
        rule = Rule(
            metric=row.metric,
            margin=Margin(size=margin, relative=False),
            direction=direction,
            sure="equivalence",
            min_items=1,
            min_clusters=1,
        )
        passed = any(check.outcome == "passed" for check in check_row(1, rule, row))
        assert not passed or row.intervals.at95.low < row.intervals.at95.high, row
        assert not passed or row.intervals.at90.low < row.intervals.at90.high, row
        flat = with_columns(row, low=row.difference, high=row.difference, low90=row.difference, high90=row.difference)
        assert not any(check.outcome == "passed" for check in check_row(1, rule, flat)), row
