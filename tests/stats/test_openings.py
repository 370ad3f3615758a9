"""Drift of openings: planted rephrasing is seen, the same arm and dense drawn again are not."""

import numpy as np

from crushtest.stats.openings import opening, opening_drift

REFUSES = "I am sorry, but I cannot help with that."
REPHRASES = "It would not be right to go into this."


def drawn(count: int, skew: float, seed: int) -> list[str]:
    """Answers that begin with one of 300 openings, the commoner the smaller its number."""
    chance = 1 / np.arange(1, 301) ** skew
    picks = np.random.default_rng(seed).choice(300, count, p=chance / chance.sum())
    return [f"opening number {pick} here it goes on" for pick in picks]


def test_an_arm_that_rephrases_its_refusals_drifts() -> None:
    dense = [REFUSES] * 40 + [f"Sure number {i} is this" for i in range(60)]
    drift = opening_drift(dense, [REPHRASES if text == REFUSES else text for text in dense])
    assert drift is not None
    assert drift.drifted
    assert drift.dense >= 0.4 > drift.arm


def test_the_same_answers_again_do_not_drift() -> None:
    dense = drawn(200, 1.0, 0)
    drift = opening_drift(dense, list(dense))
    assert drift is not None
    assert not drift.drifted
    assert (drift.dense, drift.p) == (drift.arm, 1.0)


def test_dense_drawn_again_rarely_drifts_however_openings_vary() -> None:
    for skew in (0.3, 0.7, 1.0, 1.5):
        drifts = [opening_drift(drawn(100, skew, seed), drawn(100, skew, 1000 + seed)) for seed in range(50)]
        assert sum(drift is not None and drift.drifted for drift in drifts) <= 1, skew


def test_an_opening_is_four_words_without_signs_or_case() -> None:
    assert opening("  **I'm** SORRY,\nbut - no way") == "i'm sorry but no"
    assert opening("") == ""


def test_no_answers_have_no_drift() -> None:
    assert opening_drift([], []) is None
