"""Rows of an arm that stopped: every number speaks of the full run, and none is beyond what the metric can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import rate
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.results import Contrast, Interval
from crushtest.stats.contrasts import contrast
from crushtest.stats.effects import cohen_h
from crushtest.stats.item_sums import Measured
from crushtest.stats.looked import looked_rows
from crushtest.stats.pool import Forecast
from crushtest.stats.progressed import Progressed
from crushtest.stats.stopped import with_looks

FIRST = rate("first", lambda item, answer, score: answer.logprobs[0] > answer.logprobs[1], better="higher")
ITEMS = 400


def answers(share: float, items: range, seed: int) -> dict[str, ChoiceScores]:
    random = np.random.default_rng(seed)
    return {f"i/{n}": ChoiceScores((0.0, 1.0 if random.random() > share else -1.0), (1, 1), (1, 1)) for n in items}


def stopped_rows(dense: float, arm: float, asked: int = 40) -> dict[tuple[str, str], Contrast]:
    """Return the rows of an arm that stopped after `asked` of 400 items."""
    items = [Item(f"i/{n}", (f"sex={'fm'[n % 2]}",), f"c{n}", Choices("", (" a", " b"))) for n in range(ITEMS)]
    before, after = answers(dense, range(ITEMS), 1), answers(arm, range(asked), 2)
    how = Progressed(rank=np.arange(ITEMS), looks=(20, asked), last=320, number=3, of=10, error=0.05, rules=1)
    looked = looked_rows("task", (FIRST,), items, "arm", Measured(before, {}), Measured(after, {}), how)
    rows = contrast("task", (FIRST,), items[:asked], "arm", before, {}, after, {}, seed=0, replicates=200)
    return {(row.metric, row.group): row for row in with_looks(rows, looked)}


@pytest.mark.parametrize(("dense", "arm"), [(0.83, 0.6), (0.9, 0.0), (0.1, 1.0), (0.98, 0.5)])
def test_values_and_differences_are_within_the_metrics_bounds(dense: float, arm: float) -> None:
    for row in stopped_rows(dense, arm).values():
        if row.look is None or row.look.low is None or row.look.high is None:
            continue
        assert row.dense is not None
        assert row.value is not None
        assert row.difference is not None
        assert row.intervals is not None
        assert 0 <= row.value <= 1
        assert -1e-12 <= row.dense + row.look.low <= row.dense + row.look.high <= 1 + 1e-12
        assert row.look.low <= row.difference <= row.look.high
        assert -1 <= row.intervals.at95.low <= row.intervals.at90.low <= row.look.low
        assert row.look.high <= row.intervals.at90.high <= row.intervals.at95.high <= 1


def test_the_effect_is_that_of_the_values_shown() -> None:
    row = stopped_rows(0.5, 0.2)["first", "all"]
    assert row.dense is not None
    assert row.value is not None
    assert row.effect.kind == "cohen_h"
    assert row.effect.standardized == cohen_h(row.dense, row.value)
    assert row.effect.ratio is None or row.effect.ratio == row.value / row.dense


def test_a_stopped_row_has_no_p_for_a_fixed_number_of_items() -> None:
    for row in stopped_rows(0.5, 0.2).values():
        assert (row.p, row.flips.p) == (None, None)


def test_a_ratio_is_that_of_the_values_shown_or_none() -> None:
    row, look = stopped_rows(0.5, 0.2)["first", "all"], replace(stopped_rows(0.5, 0.2)["first", "all"])
    asked = replace(row, effect=replace(row.effect, ratio=0.867, kind="cohen_d"))
    (made,) = with_looks([asked], [replace(look, dense=0.224, value=0.184)])
    assert made.effect.ratio == 0.184 / 0.224
    assert (made.effect.standardized, made.effect.kind) == (None, None), "the variance is that of the items asked"


def test_a_worst_group_of_the_look_has_its_own_counts() -> None:
    row = stopped_rows(0.9, 0.3)["first_worst", "sex"]
    other = replace(row, worst="sex=another", n=7, n_unscored=5, flips=replace(row.flips, total=3))
    (made,) = with_looks([other], [row])
    assert (made.worst, made.n, made.n_unscored, made.flips) == (row.worst, row.n, row.n_unscored, row.flips)


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_cut_interval_still_holds_the_full_runs_difference(
    dense: float, value: float, below: float, above: float, is_known: bool
) -> None:
    truth = value - dense
    seen = Forecast(dense, value, Interval(truth - below, truth + above), lambda level: Interval(0.2, 0.2), 0.0)
    cut = seen.within((0.0, 1.0), dense_is_known=is_known)
    assert cut.pool.low - 1e-12 <= truth <= cut.pool.high + 1e-12
    assert -1 <= cut.interval(0.95).low <= cut.pool.low
    assert cut.pool.high <= cut.interval(0.95).high <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0, 2))
def test_an_uncertain_dense_value_cuts_no_true_difference(
    dense: float, value: float, off: float, moved: float, half: float
) -> None:
    seen = Forecast(
        dense + off, value + moved, Interval(value + moved - dense - off - half, value + moved - dense - off + half),
        lambda level: Interval(0.0, 0.0), 0.0,
    )  # fmt: skip
    cut = seen.within((0.0, 1.0), dense_is_known=False)
    if seen.pool.low <= value - dense <= seen.pool.high:
        assert cut.pool.low - 1e-12 <= value - dense <= cut.pool.high + 1e-12
    assert cut.pool.low <= cut.value - cut.dense <= cut.pool.high
