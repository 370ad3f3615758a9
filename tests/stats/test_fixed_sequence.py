"""Candidates are tested in an order fixed beforehand; whatever was chosen by, the answer keeps the level."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.stats.fixed_sequence import Screened, front, verify_in_order
from support.search_simulation import SETTINGS, shares

CANDIDATES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12).map(
    lambda pairs: [Screened(str(number), size, ratio) for number, (size, ratio) in enumerate(pairs)]
)


@given(st.lists(st.booleans()))
def test_nothing_is_tested_after_a_failure(outcomes: Sequence[bool]) -> None:
    asked = []

    def passes(place: int) -> bool:
        asked.append(place)
        return outcomes[place]

    tested = verify_in_order(range(len(outcomes)), passes)
    before = outcomes.index(False) if False in outcomes else len(outcomes)
    assert tested.passed == tuple(range(before))
    assert asked == list(range(min(before + 1, len(outcomes))))
    assert tested.answer == (before - 1 if before else None)


@given(CANDIDATES)
def test_the_front_holds_what_no_other_beats(candidates: list[Screened]) -> None:
    kept = front(candidates)
    assert [one.size for one in kept] == sorted({one.size for one in kept}, reverse=True)
    assert [one.ratio for one in kept] == sorted({one.ratio for one in kept})
    for one in candidates:
        assert any(other.size <= one.size and other.ratio <= one.ratio for other in kept)


def test_a_search_of_few_runs_stays_within_its_level() -> None:
    result = shares(SETTINGS["all but one at the margin or beyond"], 60)
    assert result["split, beyond the budget"] < 0.15 < result["unsplit, beyond the budget"]


@pytest.mark.slow
@pytest.mark.parametrize("title", SETTINGS)
def test_a_candidate_beyond_the_budget_is_rarely_returned(title: str) -> None:
    result = shares(SETTINGS[title], 2000)
    print(f"\n{title}: {result}")
    assert result["split, beyond the budget"] <= 0.05
    assert result["unsplit, beyond the budget"] > result["split, beyond the budget"]
