"""Hidden harm is claimed only where both halves are shown: quality within its margins, harm worse after correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from crushtest.gate.policy import read_policy
from crushtest.metrics import Metric, accuracy, bits_per_byte, perplexity, rate
from crushtest.metrics.choices import choice
from crushtest.records import Answer, Passage, PassageScore
from crushtest.results import Contrast
from crushtest.stats import contrast
from crushtest.stats.hidden_harm import (
    HARM_WITH_LOSS,
    HIDDEN_HARM,
    NO_HARM_SHOWN,
    HiddenHarm,
    judge_hidden,
    quality_of,
    standard_margin,
)
from crushtest.study.hidden_harm import hidden_harms
from crushtest.study.plan import PlannedTask
from crushtest.tasks.base import Task
from support.building import make_items, right_or_wrong
from support.contrast_rows import with_columns
from support.gate_rows import SURE_WORSE, UNSURE, UNTOUCHED

ACCURACY, PERPLEXITY = accuracy(), perplexity()
HARM = rate("harm_rate", lambda item, answer, score: choice(answer) == item.gold, better="lower", role="harm")
MARGIN = standard_margin(ACCURACY)
HARMED = with_columns(
    SURE_WORSE,
    task="prompts",
    metric="harm_rate",
    better="lower",
    difference=0.1,
    low=0.07,
    high=0.13,
    p_adjusted=0.003,
)
UNHARMED = with_columns(UNTOUCHED, task="prompts", metric="harm_rate", better="lower")


def judged(quality: Sequence[Contrast | None], harms: Sequence[Contrast], *missing: str) -> HiddenHarm:
    measures = [quality_of("facts", ACCURACY, row, MARGIN) for row in quality]
    return judge_hidden("half", measures, harms, missing)


def test_quality_that_dense_has_too_little_of_to_lose_is_not_shown() -> None:
    low = with_columns(UNTOUCHED, dense=0.01, value=0.0, difference=-0.01, low=-0.015, high=0.0)
    measure = quality_of("facts", ACCURACY, low, MARGIN)
    assert not measure.is_shown
    assert "no room" in str(measure.reason)
    assert quality_of("facts", ACCURACY, UNTOUCHED, MARGIN).is_shown


@pytest.mark.parametrize(
    ("quality", "harms", "missing", "verdict"),
    [
        ([UNTOUCHED], [HARMED], [], HIDDEN_HARM),
        ([UNTOUCHED, UNTOUCHED], [UNHARMED, HARMED], ["dialects"], HIDDEN_HARM),
        ([UNTOUCHED, UNSURE], [HARMED], [], "inconclusive"),
        ([UNTOUCHED, None], [HARMED], [], "inconclusive"),
        ([SURE_WORSE], [HARMED], [], HARM_WITH_LOSS),
        ([UNTOUCHED, SURE_WORSE], [HARMED], [], HARM_WITH_LOSS),
        ([UNTOUCHED], [UNHARMED], [], NO_HARM_SHOWN),
        ([UNTOUCHED], [UNHARMED], ["dialects"], "inconclusive"),
        ([UNTOUCHED], [with_columns(HARMED, p_adjusted=0.2)], [], NO_HARM_SHOWN),
        ([UNTOUCHED], [with_columns(HARMED, verdict="within measurement noise")], [], NO_HARM_SHOWN),
        ([UNTOUCHED], [with_columns(HARMED, verdict="inconclusive")], [], "inconclusive"),
        ([], [HARMED], [], "inconclusive"),
        ([UNTOUCHED], [], [], "inconclusive"),
        ([], [], [], "inconclusive"),
    ],
)
def test_only_both_halves_shown_make_hidden_harm(
    quality: list[Contrast | None], harms: list[Contrast], missing: list[str], verdict: str
) -> None:
    result = judged(quality, harms, *missing)
    assert result.verdict == verdict
    assert (result.reason is None) == (verdict == HIDDEN_HARM)


def test_without_a_measure_of_quality_the_reason_says_so() -> None:
    assert "no quality was measured" in (judged([], [HARMED]).reason or "")


@pytest.mark.parametrize(
    "columns",
    [
        {"n_unscored": 40},
        {"low": 0.0, "high": 0.0, "low90": 0.0, "high90": 0.0},
        {"low": None, "high": None, "low90": None, "high90": None},
        {"verdict": "inconclusive"},
        {"low90": -0.0201},
        {"low90": -0.02},
        {"dense": None, "difference": None, "verdict": "undefined"},
    ],
)
def test_quality_is_not_shown_by_what_shows_nothing(columns: dict[str, object]) -> None:
    assert quality_of("facts", ACCURACY, UNTOUCHED, MARGIN).is_shown
    assert not quality_of("facts", ACCURACY, with_columns(UNTOUCHED, **columns), MARGIN).is_shown


def test_a_measure_without_a_margin_is_not_shown() -> None:
    unbounded = replace(ACCURACY, bounds=None, unit="score")
    assert standard_margin(unbounded) is None
    assert quality_of("facts", unbounded, UNTOUCHED, None).reason == "no margin is given for it"


def test_standard_margins_are_those_of_the_policy_for_what_is_shown() -> None:
    rules = {rule.metric: rule.margin for rule in read_policy("strict").rules}
    bits = bits_per_byte()
    for metric in (ACCURACY, bits):
        margin, given = standard_margin(metric), rules[metric.name]
        assert margin is not None
        assert given is not None
        assert margin(0.7) == pytest.approx(given.of(0.7))
    loss = standard_margin(PERPLEXITY)
    assert loss
    assert np.log2(20 + loss(20)) == pytest.approx(np.log2(20) + rules[bits.name].of(np.log2(20)))  # type: ignore[union-attr]


# ---- from answers ------------------------------------------------------------------------------------


def planned(name: str, metric: Metric, dimension: str) -> PlannedTask:
    return PlannedTask(name, dimension, {}, Task("choices", list, (metric,)), None, 0)  # type: ignore[arg-type]


FACTS = planned("facts", ACCURACY, "downstream quality")
TEXTS = planned("texts", PERPLEXITY, "language modelling")
PROMPTS = planned("prompts", HARM, "degeneration harm")


def moved(
    rng: np.random.Generator, items: int, size: int, *, share: float, discordance: float, change: float
) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of dense and an arm: `discordance` of the items change, `change` more up than down, half by cluster."""

    def draws() -> np.ndarray:
        own, common = rng.random(items), np.repeat(rng.random(-(-items // size)), size)[:items]
        return np.where(np.repeat(rng.random(-(-items // size)) < 0.5, size)[:items], common, own)

    dense = draws() < share
    up, down = (discordance + change) / 2 / (1 - share), (discordance - change) / 2 / share
    move = draws()
    return dense, np.where(dense, move >= down, move < up)


def rates(planned_task: PlannedTask, arm: str, outcomes: tuple[np.ndarray, np.ndarray], size: int) -> list[Contrast]:
    count = len(outcomes[0])
    items = make_items([()] * count, [f"c{number // size}" for number in range(count)])
    dense, answers = (right_or_wrong(each.tolist()) for each in outcomes)
    metrics = planned_task.task.metrics
    return contrast(planned_task.name, metrics, items, arm, dense, {}, answers, {}, seed=0, replicates=50)


def texts(rng: np.random.Generator, arm: str, *, dearer: float, count: int = 200) -> list[Contrast]:
    """Perplexity on `count` texts of 20 tokens, each token of which costs the arm `dearer` more nats."""
    items = [
        replace(item, request=Passage("x" * 80)) for item in make_items([()] * count, [f"c{n}" for n in range(count)])
    ]
    nats = 3 + 0.4 * rng.standard_normal(count)
    costs = (nats, nats * (1 + dearer) + 0.15 * rng.standard_normal(count))
    dense, answers = (
        {item.id: PassageScore(-20 * float(cost), 20, 80) for item, cost in zip(items, each, strict=True)}
        for each in costs
    )
    given: list[dict[str, Answer]] = [dict(dense), dict(answers)]
    seed = int(rng.integers(1 << 30))
    return contrast("texts", (PERPLEXITY,), items, arm, given[0], {}, given[1], {}, seed=seed, replicates=1000)


def test_one_item_and_a_total_change_show_no_quality() -> None:
    single = (np.array([True]), np.array([True]))
    everything = (np.ones(300, bool), np.zeros(300, bool))
    harm = rates(PROMPTS, "a", (~everything[0], ~everything[1]), 1)
    for quality, verdict in ((single, "inconclusive"), (everything, HARM_WITH_LOSS)):
        [result] = hidden_harms([FACTS, PROMPTS], ["a"], [*rates(FACTS, "a", quality, 1), *harm])
        assert [row.metric for row in result.harms] == ["harm_rate"]
        assert result.verdict == verdict


def test_a_task_that_an_arm_has_not_finished_is_never_safe() -> None:
    rng = np.random.default_rng(0)
    quality = rates(FACTS, "a", moved(rng, 2000, 1, share=0.7, discordance=0.02, change=0.0), 1)
    harm = rates(PROMPTS, "a", moved(rng, 400, 1, share=0.1, discordance=0.3, change=0.1), 1)
    assert hidden_harms([FACTS, PROMPTS], ["a"], [*quality, *harm])[0].verdict == HIDDEN_HARM
    assert hidden_harms([FACTS, TEXTS, PROMPTS], ["a"], [*quality, *harm])[0].verdict == "inconclusive"
    assert hidden_harms([FACTS, PROMPTS], ["a"], quality)[0].verdict == "inconclusive"
    assert hidden_harms([FACTS, PROMPTS], ["a", "b"], [*quality, *harm])[1:] == []


RUNS, ARMS = 120, 2
CELLS = {
    "accuracy at its margin, harm of 10 points": (0.02, 0.0, 0.10),
    "accuracy unchanged, no harm": (0.0, 0.0, 0.0),
    "accuracy at its margin, no harm": (0.02, 0.0, 0.0),
    "perplexity at its margin, harm of 10 points": (0.0, 0.05, 0.10),
    "accuracy and perplexity at their margins, harm of 10 points": (0.02, 0.05, 0.10),
    "accuracy and perplexity unchanged, harm of 10 points": (0.0, 0.0, 0.10),
}
"""Cell -> loss of accuracy, share of nats more, and harm, in each of two arms."""


def called(rng: np.random.Generator, loss: float, dearer: float, harm: float, *, size: int, items: int = 4000) -> int:
    """Return how many of the arms of a simulated study are called a hidden harm."""
    rows: list[Contrast] = []
    for arm in range(ARMS):
        rows += rates(FACTS, str(arm), moved(rng, items, size, share=0.6, discordance=0.1, change=-loss), size) + rates(
            PROMPTS, str(arm), moved(rng, 600, size, share=0.2, discordance=0.15, change=harm), size
        )
        rows += texts(rng, str(arm), dearer=dearer)
    found = hidden_harms([FACTS, TEXTS, PROMPTS], [str(arm) for arm in range(ARMS)], rows)
    return sum(each.verdict == HIDDEN_HARM for each in found)


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "size"), [*((cell, 4) for cell in CELLS), (next(iter(CELLS)), 1), ([*CELLS][-1], 1)])
def test_hidden_harm_is_called_where_both_hold_and_else_rarely(cell: str, size: int) -> None:
    """The share of arms that are called, and of studies with an arm that is, where either half is false."""
    rng = np.random.default_rng(len(cell) + size)
    loss, dearer, harm = CELLS[cell]
    calls = np.array([called(rng, loss, dearer, harm, size=size) for _ in range(RUNS)])
    share = calls.mean() / ARMS
    print(f"\n{cell}, clusters of {size}: {share:.1%} of arms, {(calls > 0).mean():.1%} of studies")
    if loss or dearer or not harm:
        assert share <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS / ARMS)
    else:
        assert share >= 0.8
