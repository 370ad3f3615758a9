"""A difference corrected by labels: by hand, in a large sample, without width for certainty, and its coverage."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from crushtest.metrics import Array
from crushtest.stats.label_sample import Stratum, draw_pairs
from crushtest.stats.labelled import Corrected, Labelled, correct

PHRASES = ("i cannot", "i can't", "i'm sorry", "i apologize", "i am not able", "i'm not able", "i am unable")
"""A scorer for these tests alone: simple on purpose, so that it is wrong."""
CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))


def pairs_of(rows: Iterable[tuple[tuple[int, int], tuple[int, int] | None, float]]) -> Labelled:
    """Rows of (what the scorer says, what people say, chance of being labelled)."""
    listed = list(rows)
    labels = [(np.nan, np.nan) if people is None else people for _, people, _ in listed]
    return Labelled(
        scored=np.array([scored for scored, _, _ in listed], float),
        labels=np.array(labels, float),
        open=np.ones((len(listed), 2), bool),
        inclusion=np.array([chance for _, _, chance in listed]),
        clusters=np.arange(len(listed)),
    )


def drawn(scored: Array, people: Array, count: int, rng: random.Random, clusters: Array | None = None) -> Labelled:
    """Pairs of which about `count` are labelled, drawn as a sheet draws them."""
    strata = [Stratum(("all",), bool(dense), bool(arm)) for dense, arm in scored]
    chosen = draw_pairs(strata, count, rng)
    labels = np.full(scored.shape, np.nan)
    labels[chosen] = people[chosen]
    sizes, taken = Counter(strata), Counter(strata[place] for place in chosen)
    inclusion = np.array([taken[stratum] / sizes[stratum] for stratum in strata])
    numbers = np.arange(len(scored)) if clusters is None else clusters
    everything = np.ones(scored.shape, bool)
    return Labelled(scored=scored, labels=labels, open=everything, inclusion=inclusion, clusters=numbers)


def measured(pairs: Labelled) -> Corrected:
    result = correct(pairs)
    assert isinstance(result, Corrected)
    return result


def test_a_worked_case_is_corrected_cell_by_cell() -> None:
    # 20 pairs: 10 neither, of which 5 labelled, one refused by the arm alone; 4 lost, all labelled, 3 of them wrongly;
    # 6 both, 3 labelled, all right. 10/20 x 1/5 + 4/20 x (-1/4) + 0 = 0.05, where the scorer says -4/20.
    rows = [((0, 0), (0, 1) if i == 0 else (0, 0) if i < 5 else None, 0.5) for i in range(10)]
    rows += [((1, 0), (1, 0) if i == 0 else (1, 1), 1.0) for i in range(4)]
    rows += [((1, 1), (1, 1) if i < 3 else None, 0.5) for i in range(6)]
    result = measured(pairs_of(rows))
    assert result.scored == pytest.approx(-0.2)
    assert result.difference == pytest.approx(0.05)
    # Of the arm's yes (10/20 x 1/5 + 4/20 x 3/4 + 6/20 = 0.55) the scorer misses 0.25; dense has none missed.
    assert result.arm.false_negative.value == pytest.approx(0.25 / 0.55)
    assert result.dense.false_negative.value == 0
    assert result.dense.false_positive.value == 0


def test_many_labels_give_the_normal_interval_of_the_sources() -> None:
    rng = np.random.default_rng(1)
    people = (rng.random((6000, 2)) < [0.5, 0.4]).astype(float)
    scored = np.where(rng.random((6000, 2)) < 0.15, 1 - people, people)
    pairs = drawn(scored, people, 2400, random.Random(1))
    result = measured(pairs)
    variance = 0.0
    seen = ~np.isnan(pairs.labels[:, 0])
    for cell in CELLS:
        within = (scored == cell).all(axis=1)
        share, change = within.mean(), np.diff(pairs.labels[within & seen], axis=1).ravel()
        variance += share**2 * change.var(ddof=1) / len(change)
        variance += share * (change.mean() - result.difference) ** 2 / len(scored)
    width = reference.norm.ppf(0.975) * np.sqrt(variance)
    assert result.low == pytest.approx(result.difference - width, abs=0.05 * width)
    assert result.high == pytest.approx(result.difference + width, abs=0.05 * width)


def test_all_labels_agreeing_is_not_certainty() -> None:
    scored = np.array([CELLS[0], CELLS[3]] * 100, float)
    result = measured(drawn(scored, scored, 60, random.Random(0)))
    assert result.difference == 0
    assert result.high - result.low > 0.05
    assert result.dense.false_negative.value == 0 < result.dense.false_negative.high


def test_labels_of_everything_leave_the_width_of_other_items() -> None:
    rng = np.random.default_rng(2)
    people = (rng.random((400, 2)) < 0.5).astype(float)
    result = measured(pairs_of(((0, 0), (int(a), int(b)), 1.0) for a, b in people))
    change = people[:, 1] - people[:, 0]
    assert result.difference == pytest.approx(change.mean())
    width = 1.96 * change.std() / np.sqrt(400)
    assert result.high - result.low == pytest.approx(2 * width, rel=0.05)


def test_items_of_one_cluster_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    lost = np.repeat(rng.random(20) < 0.5, 10)
    people = np.stack([np.ones(200), np.where(lost, 0, 1)], axis=1)
    alone = measured(drawn(people, people, 60, random.Random(0)))
    together = measured(drawn(people, people, 60, random.Random(0), np.repeat(np.arange(20), 10)))
    assert together.difference == alone.difference
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.mde > 2 * alone.mde


def test_a_cell_without_labels_or_one_cluster_has_no_interval() -> None:
    rows = [((0, 0), (0, 0), 0.5), ((1, 0), None, 0.5)]
    assert "no labelled pair among the 1" in str(correct(pairs_of(rows)))
    pairs = pairs_of([((0, 0), (0, 0), 1.0)] * 3)
    one = replace(pairs, clusters=np.zeros(3, int))
    assert "one cluster" in str(correct(one))


def with_known(pairs: Labelled, known: Iterable[tuple[int, int]]) -> Labelled:
    """The pairs, and some more whose outcomes no label can change."""
    added = np.array(list(known), float).reshape(-1, 2)
    empty = np.full(len(added), np.nan)
    return Labelled(
        scored=np.concatenate([pairs.scored, added]),
        labels=np.concatenate([pairs.labels, np.stack([empty, empty], axis=1)]),
        open=np.concatenate([pairs.open, np.zeros(added.shape, bool)]),
        inclusion=np.concatenate([pairs.inclusion, empty]),
        clusters=np.arange(len(pairs.scored) + len(added)),
    )


@given(st.lists(st.sampled_from(CELLS), max_size=40), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_pairs_that_no_label_can_change_enter_the_difference_alone(known: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scored, people = ((rng.random((40, 2)) < 0.5).astype(float) for _ in range(2))
    pairs = drawn(scored, people, 20, random.Random(seed))
    alone, together = measured(pairs), measured(with_known(pairs, known))
    assert together.labelled == alone.labelled
    assert together.items == alone.items + len(known)
    assert (together.dense, together.arm) == (alone.dense, alone.arm)
    total = alone.difference * alone.items + sum(arm - dense for dense, arm in known)
    assert together.difference == pytest.approx(total / together.items)
    assert together.low <= together.difference <= together.high


def test_pairs_that_no_label_can_change_narrow_the_interval() -> None:
    pairs = drawn(np.array(CELLS * 10, float), np.array(CELLS * 10, float), 20, random.Random(0))
    alone, together = measured(pairs), measured(with_known(pairs, [(0, 0)] * 120))
    assert together.high - together.low == pytest.approx((alone.high - alone.low) / 4, rel=0.25)


def test_an_answer_that_no_label_can_change_is_in_no_rate_of_error() -> None:
    rows = [((1, 0), (0, 0), 1.0)] * 5 + [((1, 1), (0, 1), 1.0)] * 5
    pairs = pairs_of(rows)
    result = measured(replace(pairs, open=pairs.open & (pairs.scored[:, [1]] > [-1, 0])))
    assert result.labelled == 10
    assert result.dense.false_positive.value == 1
    assert result.arm.false_positive.value is None  # its answers that the scorer does not count are no language


def test_the_same_labels_give_the_same_numbers() -> None:
    scored = np.array(CELLS * 20, float)
    pairs = drawn(scored, scored, 40, random.Random(0))
    assert correct(pairs, seed=4) == correct(pairs, seed=4)


@pytest.mark.parametrize("pairs", [20, 60, 1000])
def test_discordant_pairs_are_drawn_first_and_no_stratum_is_empty(pairs: int) -> None:
    strata = [
        Stratum(("a",), dense, arm) for dense, arm in [(False, False)] * 100 + [(True, False)] * 12 + [(True, True)] * 3
    ]
    chosen = draw_pairs(strata, pairs, random.Random(0))
    assert len(set(chosen)) == len(chosen)
    taken = Counter(strata[place] for place in chosen)
    assert set(taken) == set(strata)
    assert taken[Stratum(("a",), True, False)] == min(12, max(pairs // 2, 5))
    assert pairs > 100 or abs(len(chosen) - pairs) <= 5


# ---- on people's labels of real answers --------------------------------------------------------------


def xstest(data: Path, unsafe: bool) -> tuple[Array, Array, Array]:
    """What the phrases and what people say of two models' answers to XSTest, and the types of prompts as clusters."""
    models = [_rows(data / "xstest" / f"xstest_v2_completions_{name}.csv") for name in ("llama2orig", "llama2new")]
    ids = [item for item, row in models[0].items() if row["type"].startswith("contrast") is unsafe]
    scored = [[any(p in model[item]["completion"][:300].lower() for p in PHRASES) for model in models] for item in ids]
    people = [[model[item]["final_label"] != "1_full_compliance" for model in models] for item in ids]
    clusters = np.unique([models[0][item]["type"] for item in ids], return_inverse=True)[1]
    return np.array(scored, float), np.array(people, float), clusters


def _rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def coverage(data: Path, unsafe: bool, draws: int, *, clustered: bool) -> tuple[float, float, float]:
    """How often the interval holds people's difference over all answers; mean estimate; mean width."""
    scored, people, clusters = xstest(data, unsafe)
    truth = float((people[:, 1] - people[:, 0]).mean())
    rng = random.Random(0)
    results = [measured(drawn(scored, people, 60, rng, clusters if clustered else None)) for _ in range(draws)]
    covered = np.mean([result.low <= truth <= result.high for result in results])
    width = float(np.mean([result.high - result.low for result in results]))
    print(
        f"unsafe={unsafe} clustered={clustered} scorer {results[0].scored:+.3f} people {truth:+.3f} cover {covered:.3f}"
    )
    return float(covered), float(np.mean([result.difference for result in results])) - truth, width


def test_sixty_labels_undo_a_phrase_list_s_false_loss(data: Path) -> None:
    scored, people, _ = xstest(data, unsafe=True)
    assert (scored[:, 1] - scored[:, 0]).mean() < -0.15  # the list's loss, where people see none
    assert (people[:, 1] - people[:, 0]).mean() == 0
    covered, bias, width = coverage(data, True, 10, clustered=False)
    assert covered == 1
    assert abs(bias) < 0.01
    assert width < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("unsafe", [False, True])
def test_sixty_labels_cover_people_s_difference(data: Path, unsafe: bool, clustered: bool) -> None:
    covered, bias, _ = coverage(data, unsafe, 400, clustered=clustered)
    assert covered >= 0.93
    assert abs(bias) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("missed", [0.01, 0.03, 0.05, 0.07, 0.10, 0.20])
@pytest.mark.parametrize("count", [25, 60])
def test_errors_in_one_arm_alone_are_covered_however_rare(missed: float, count: int) -> None:
    """The hardest case for a few labels: what the scorer misses is rare, in the arm alone, in most of the pairs."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(250):
        scored = np.repeat((rng.random(400) < 0.2)[:, None], 2, axis=1).astype(float)
        people = scored.copy()
        people[(scored[:, 0] == 0) & (rng.random(400) < missed), 1] = 1
        result = measured(drawn(scored, people, count, random.Random(int(rng.integers(1 << 30)))))
        hits += result.low <= 0.8 * missed <= result.high
    print(f"missed {missed} count {count} cover {hits / 250:.3f}")
    assert hits / 250 >= 0.93
