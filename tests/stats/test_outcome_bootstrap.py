"""Intervals and p of d' and c: they cover, agree with each other, and say what few clusters can say.

Run the simulations by CRUSHTEST_SLOW=1; with `-s` they print their lowest cells and the mean widths.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.metrics import Array
from crushtest.records import Completion, Item, Prompt, Score
from crushtest.results import Contrast
from crushtest.stats import contrast
from crushtest.stats.outcome_bootstrap import Outcomes, Resampled
from crushtest.tasks.shared.refusal_metrics import criterion, dprime, refusal_metrics

DETECTOR = "a_detector"
SUMS = np.array([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
KIND = np.repeat([0, 1], 4)
ROWS = np.array([[1, 1, 0, 0, 3, 3, 2, 2], [1, 0, 1, 0, 3, 2, 3, 2]])
"""Outcomes of a pair, per kind: refused by neither arm, by the arm alone, by dense alone, by both."""
DESIGNS = {
    "xstest: 8 clusters": np.array([[25, 25]] * 6 + [[25, 50]] * 2),
    "10 clusters": np.array([[10, 10]] * 10),
    "100 pairs": np.array([[1, 1]] * 100),
    "a category of 10 pairs": np.array([[1, 1]] * 10),
    "200 single items": np.array([[1, 0]] * 100 + [[0, 1]] * 100),
}
"""Requests to refuse and to answer in each cluster."""


class Planted(NamedTuple):
    """Shares refused of requests to refuse and to answer, in dense and in the arm, and whether the same are refused."""

    harmful: tuple[float, float]
    benign: tuple[float, float]
    alike: bool = True


PLANTED = {
    "nothing changed": Planted((0.92, 0.92), (0.06, 0.06)),
    "as much, of other requests": Planted((0.92, 0.92), (0.06, 0.06), alike=False),
    "always refuses": Planted((0.92, 1.0), (0.06, 1.0)),
    "never refuses": Planted((0.92, 0.0), (0.06, 0.0)),
    "blurred": Planted((0.92, 0.52), (0.06, 0.53)),
    "line moved": Planted((0.92, 0.75), (0.2, 0.06)),
    "perfect, then nearly": Planted((1.0, 0.9), (0.0, 0.02)),
    "perfect, then a little worse": Planted((1.0, 0.95), (0.03, 0.03)),
    "a little worse": Planted((0.99, 0.97), (0.01, 0.03)),
    "at chance": Planted((0.5, 0.5), (0.5, 0.5), alike=False),
    "hardly refuses": Planted((0.02, 0.02), (0.02, 0.02), alike=False),
}


def chances(dense: float, arm: float, alike: bool) -> Array:
    both = min(dense, arm) if alike else dense * arm
    shares = np.maximum([1 - dense - arm + both, arm - both, dense - both, both], 0)
    return shares / shares.sum()


def draw(sizes: Array, planted: Planted, rho: float, rng: np.random.Generator) -> Array:
    """Counts [clusters, outcomes]. With probability sqrt(rho) an item takes its cluster's common outcome."""
    parts = []
    for side, (dense, arm) in enumerate((planted.harmful, planted.benign)):
        shares = chances(dense, arm, planted.alike)
        common = rng.choice(4, size=len(sizes), p=shares)
        tied = rng.binomial(sizes[:, side], np.sqrt(rho))
        parts.append(rng.multinomial(sizes[:, side] - tied, shares) + tied[:, None] * (common[:, None] == np.arange(4)))
    return np.concatenate(parts, axis=1).astype(float)


def expected(sizes: Array, planted: Planted) -> Array:
    sides = zip(sizes.sum(axis=0), (planted.harmful, planted.benign), strict=True)
    return np.concatenate([count * chances(*shares, planted.alike) for count, shares in sides])


def outcomes(counts: Array, formula: Any = dprime) -> Outcomes:
    return Outcomes(formula=formula, sums=SUMS, kind=KIND, rows=ROWS, counts=counts)


def resampled(counts: Array, formula: Any = dprime, seed: int = 0, draws: int = 1000) -> Resampled:
    drawn = outcomes(counts, formula).resample((-1.0, 1.0), np.random.default_rng(seed), draws=draws)
    assert isinstance(drawn, Resampled), drawn
    return drawn


# ---- the interval and its p --------------------------------------------------------------------------


@given(st.sampled_from(sorted(DESIGNS)), st.sampled_from(sorted(PLANTED)), st.sampled_from([0.0, 0.3]), st.integers(0))
@settings(max_examples=60)
def test_p_is_below_five_percent_where_the_interval_excludes_no_change(
    design: str, planted: str, rho: float, seed: int
) -> None:
    drawn = resampled(draw(DESIGNS[design], PLANTED[planted], rho, np.random.default_rng(seed)))
    low, high = drawn.interval(0.95)
    assert (drawn.p() <= 0.05) == (low > 0 or high < 0)


@given(st.integers(2, 40), st.integers(1, 9))
def test_the_interval_of_two_arms_alike_holds_zero_and_has_a_width(clusters: int, items: int) -> None:
    counts = np.zeros((clusters, 8))
    counts[:, 3], counts[:, 4] = items, items
    low, high = resampled(counts).interval(0.95)
    assert low < 0 < high


def test_repeating_every_cluster_alike_leaves_the_correction_what_it_was() -> None:
    """Each resample is scaled back to the items there are: a set drawn of large clusters alone has no other z."""
    counts = np.zeros((40, 8))
    counts[:20, 3], counts[:20, 4] = 1, 1
    counts[20:, 3], counts[20:, 4] = 30, 30
    drawn = outcomes(counts)._draw(np.random.default_rng(0), 500)
    np.testing.assert_allclose(drawn[:, :4].sum(axis=1), 620)
    np.testing.assert_allclose(drawn[:, 4:].sum(axis=1), 620)


def test_with_many_items_it_is_the_normal_interval() -> None:
    # Gourevitch and Galanter 1967: var z = p (1 - p) / (n phi(z)^2), four times for two sides of two arms.
    from scipy.stats import norm

    n, shares = 20_000, (0.8, 0.3)
    counts = np.zeros((2 * n, 8))
    rng = np.random.default_rng(0)
    for side, share in enumerate(shares):
        rows = slice(side * n, (side + 1) * n)
        outcome = rng.choice(4, size=n, p=chances(share, share, alike=False))
        counts[rows, 4 * side : 4 * side + 4] = np.eye(4)[outcome]
    deviation = np.sqrt(sum(2 * share * (1 - share) / n / norm.pdf(norm.ppf(share)) ** 2 for share in shares))
    low, high = resampled(counts, draws=10_000).interval(0.95)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.06)


# ---- whole contrasts ---------------------------------------------------------------------------------


def rows_of(
    sizes: Array, dense: tuple[float, float], arm: tuple[float, float], *further: tuple[float, float]
) -> dict[str, Contrast]:
    """Contrasts of arms that refuse these shares of the requests to refuse and to answer, in every cluster alike.

    further   shares of further draws of the arm
    """
    items, scores = [], tuple({} for _ in (dense, arm, *further))
    for number, cluster in enumerate(sizes):
        for side, count in enumerate(cluster):
            for place in range(count):
                name = f"{number}/{side}/{place}"
                facts = {"should": ("refuse", "answer")[side]}
                items.append(Item(name, (), str(number), Prompt(f"Request {name}", chat=True), facts=facts))
                for arm_scores, shares in zip(scores, (dense, arm, *further), strict=True):
                    arm_scores[name] = Score(float((place + 0.5) / count < shares[side]))
    answers = {item.id: Completion("A sentence of words as people write them.", 8, "eos") for item in items}
    metrics = refusal_metrics(DETECTOR)
    rows = contrast(
        "t", metrics, items, "arm", answers, {DETECTOR: scores[0]}, answers, {DETECTOR: scores[1]},
        seed=0, replicates=400,
        draws=[((answers, {DETECTOR: scores[0]}), (answers, {DETECTOR: each})) for each in scores[2:]],
    )  # fmt: skip
    return {row.metric: row for row in rows if row.group == "all"}


def test_draws_that_differ_widen_what_is_known_of_a_formula_over_outcomes() -> None:
    one = rows_of(np.array([[10, 10]] * 10), (0.9, 0.1), (0.7, 0.1))["refusal_dprime"]
    several = rows_of(np.array([[10, 10]] * 10), (0.9, 0.1), (0.7, 0.1), (0.5, 0.1), (0.9, 0.2))["refusal_dprime"]
    alike = rows_of(np.array([[10, 10]] * 10), (0.9, 0.1), (0.7, 0.1), (0.7, 0.1))["refusal_dprime"]
    assert one.intervals is not None
    assert several.intervals is not None
    assert several.draws is not None
    assert several.draws.count == 3
    assert several.intervals.at95.high - several.intervals.at95.low > one.intervals.at95.high - one.intervals.at95.low
    assert one.p is not None
    assert several.p is not None
    assert several.p.value > one.p.value
    assert (several.p.value <= 0.05) <= (not several.intervals.at95.low <= 0 <= several.intervals.at95.high)
    assert alike.p == one.p


@pytest.mark.parametrize("design", ["xstest: 8 clusters", "10 clusters", "100 pairs"])
@pytest.mark.parametrize("arm", [(0.52, 0.53), (1.0, 1.0), (0.0, 0.0)], ids=["blurred", "all", "none"])
def test_an_arm_that_no_longer_tells_requests_apart_is_worse(design: str, arm: tuple[float, float]) -> None:
    row = rows_of(DESIGNS[design], (0.92, 0.06), arm)["refusal_dprime"]
    assert row.verdict == "worse"
    assert row.p is not None
    assert row.p.value <= 0.01
    assert row.intervals is not None
    assert row.intervals.at95.high < 0


@pytest.mark.parametrize("further", [(), ((0.6, 0.1),)], ids=["one draw", "two draws"])
def test_one_cluster_has_values_and_no_test(further: tuple[tuple[float, float], ...]) -> None:
    row = rows_of(np.array([[20, 20]]), (0.9, 0.1), (0.5, 0.1), *further)["refusal_dprime"]
    assert row.dense is not None
    assert row.value is not None
    assert row.value < row.dense
    assert (row.intervals, row.p, row.mde, row.verdict) == (None, None, None, "inconclusive")
    assert row.reason == "cannot be tested with 1 cluster"


def test_without_requests_of_one_kind_it_is_undefined() -> None:
    row = rows_of(np.array([[20, 0]] * 10), (0.9, 0.1), (0.5, 0.1))["refusal_dprime"]
    assert (row.dense, row.value, row.intervals, row.p, row.verdict) == (None, None, None, None, "undefined")


def test_nothing_changed_is_no_clear_difference_with_an_mde() -> None:
    row = rows_of(DESIGNS["xstest: 8 clusters"], (0.92, 0.06), (0.92, 0.06))["refusal_dprime"]
    assert row.verdict == "no clear difference"
    assert row.mde is not None
    assert 0 < row.mde < 2


@pytest.mark.parametrize("design", ["xstest: 8 clusters", "10 clusters"])
def test_arms_alike_do_not_promise_to_show_what_they_would_miss(design: str) -> None:
    """At the mde of two arms that answer alike, most studies find the change. The width of their interval is no mde."""
    from scipy.stats import norm

    sizes = DESIGNS[design]
    mde = rows_of(sizes, (0.9, 0.1), (0.9, 0.1))["refusal_dprime"].mde
    assert mde is not None
    lost = Planted((0.9, float(norm.cdf(norm.ppf(0.9) - mde))), (0.1, 0.1))
    rng = np.random.default_rng(0)
    ends = [resampled(draw(sizes, lost, 0.0, rng), seed=seed, draws=400).interval(0.95) for seed in range(50)]
    assert np.mean([high < 0 for _, high in ends]) >= 0.5


# ---- coverage ----------------------------------------------------------------------------------------

STUDIES = 300
CELLS = [(design, rho) for design, sizes in DESIGNS.items() for rho in ((0.0, 0.3) if sizes.max() > 1 else (0.0,))]


@pytest.mark.slow
@pytest.mark.parametrize("formula", [dprime, criterion], ids=["dprime", "criterion"])
@pytest.mark.parametrize(("design", "rho"), CELLS)
def test_intervals_of_changed_discrimination_cover(design: str, rho: float, formula: Any) -> None:
    sizes, covered = DESIGNS[design], {}
    for name, planted in PLANTED.items():
        truth = float(outcomes(np.zeros((2, 8)), formula).value(expected(sizes, planted), (-1.0, 1.0)))

        def simulate(studies: int, planted: Planted = planted, truth: float = truth) -> tuple[float, float, float]:
            rng = np.random.default_rng(studies)
            ends = np.array(
                [resampled(draw(sizes, planted, rho, rng), formula, seed).interval(0.95) for seed in range(studies)]
            )
            holds = (ends[:, 0] - 1e-9 <= truth) & (truth <= ends[:, 1] + 1e-9)
            return (
                float(holds.mean()),
                float(np.diff(ends).mean()),
                float((ends[:, 0] > 0).mean() + (ends[:, 1] < 0).mean()),
            )

        cell = simulate(STUDIES)
        covered[name] = cell if cell[0] >= 0.93 else simulate(4 * STUDIES)
    print(f"\n{design}, rho {rho}, {formula.__name__}: coverage, mean width, share found")
    print(
        "\n".join(
            f"  {name:30s} {share:.3f} {width:5.2f} {found:.2f}" for name, (share, width, found) in covered.items()
        )
    )
    assert {name: cell[0] for name, cell in covered.items() if cell[0] < 0.93} == {}
