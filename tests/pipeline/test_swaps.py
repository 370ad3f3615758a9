"""Swaps after the integer program: they keep to the size, keep what is better as measured, and go on after a kill."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.compress.parts import Part
from crushtest.compress.recipes import parse_recipe
from crushtest.pipeline.search.ladder import Sensitivities, candidate, mix, rivals
from crushtest.pipeline.search.swaps import next_swap, swap_parts
from crushtest.study.searched import Judged, SearchRecord, Swap

OPTIONS = tuple(parse_recipe(f"rtn:bits={bits},group_size=64") for bits in (2, 3, 4))
PARTS = tuple(Part(f"layers.{number}", f"layers.{number}.*", number, ()) for number in range(6))
TASKS = {"probe_facts": "quality", "probe_text": "language modelling"}


def known(seed: int) -> Sensitivities:
    random = np.random.default_rng(seed)
    divergence = random.uniform(0.5, 2, size=(2, 6, 1)) * 4.0 ** -np.array([2, 3, 4, 30])
    return Sensitivities(
        parts=PARTS,
        options=OPTIONS,
        dimensions=tuple(TASKS.values()),
        divergence=divergence / divergence[:, :, 2:3].sum(axis=1, keepdims=True),
        bits=np.tile([200, 300, 400, 1600], (6, 1)),
        reference=OPTIONS[2],
        scale=dict.fromkeys(TASKS, 1.0),
        tasks=TASKS,
    )


class Model:
    """A model in which some pairs of parts cost more together than alone; it counts what is measured."""

    def __init__(self, about: Sensitivities, seed: int, most: int = 10**9) -> None:
        self.random = np.random.default_rng(seed + 1).uniform(0, 3, size=(2, 6, 6))
        self.about, self.asked, self.most = about, 0, most

    def worth(self, chosen: tuple[int, ...]) -> dict[str, float]:
        low = np.array([option == 0 for option in chosen], float)
        sums = self.about.divergence[:, range(6), list(chosen)].sum(axis=1)
        return dict(zip(TASKS, sums + np.einsum("i,dij,j->d", low, self.random, low), strict=True))

    def __call__(self, recipe: str) -> dict[str, float]:
        if self.asked == self.most:
            raise KeyboardInterrupt
        self.asked += 1
        steps = parse_recipe(recipe).steps
        bits = {
            pattern: step.options["bits"] for step in steps for pattern in step.layers or [p.pattern for p in PARTS]
        }
        return self.worth(tuple(bits[part.pattern] - 2 for part in PARTS))


def run(seed: int, count: int, *, most: int = 10**9, start: SearchRecord | None = None) -> tuple[SearchRecord, Any]:
    about = known(seed)
    record = start or SearchRecord(request={}, candidates=(mix(about, 1700, "mix 0.18"),))
    model, written = Model(about, seed, most), [record]
    try:
        return swap_parts(about, record, None, count, model, written.append), model
    except KeyboardInterrupt:
        return written[-1], model


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_swaps_keep_what_is_better_as_measured_and_the_size(seed: int, count: int) -> None:
    record, model = run(seed, count)
    assert model.asked == len(record.swaps) <= count
    kept = [swap.worst for swap in record.swaps if swap.kept]
    assert kept == sorted(kept, reverse=True)
    assert record.swaps[0].parts == ()
    assert kept[-1] == min(swap.worst for swap in record.swaps)
    assert record.candidates is not None
    first, *better = record.candidates
    assert len(better) == (len(kept) > 1)
    for one in better:
        assert one.kind == "swapped"
        assert one.chosen is not None
        assert sorted(one.chosen) == sorted(first.chosen or ())
        assert max(model.worth(one.chosen).values()) == pytest.approx(kept[-1])


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 11))
def test_swaps_killed_anywhere_end_the_same(seed: int, killed_after: int) -> None:
    whole, _ = run(seed, 12)
    partial, _ = run(seed, 12, most=killed_after)
    assert len(partial.swaps) == min(killed_after, len(whole.swaps))
    resumed, model = run(seed, 12, start=partial)
    assert resumed == whole
    assert model.asked == len(whole.swaps) - len(partial.swaps)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_the_next_swap_is_predicted_to_be_best(seed: int, chosen: list[int]) -> None:
    about, tried = known(seed), set[tuple[int, ...]]()
    swaps = []
    while (pair := next_swap(about, chosen, tried, 10**6)) is not None:
        swaps.append(max(about.predicted(pair.chosen).values()))
        tried.add(pair.chosen)
    possible = [(a, b) for a, b in combinations(range(6), 2) if chosen[a] != chosen[b]]
    assert len(swaps) == len(possible)
    assert swaps == pytest.approx(sorted(swaps))


def test_a_swap_that_takes_more_than_the_size_is_passed_over() -> None:
    about = known(0)
    about.bits[0] *= 2
    assert next_swap(about, (0, 1, 1, 1, 1, 1), set(), 2 * 200 + 5 * 300) is None
    assert next_swap(about, (0, 1, 1, 1, 1, 1), set(), 2 * 300 + 200 + 4 * 300) is not None


def test_ratios_are_means_over_the_tasks_of_a_dimension() -> None:
    about = known(0)
    about.scale.update(probe_facts=2.0)  # type: ignore[attr-defined]
    assert about.ratios({"probe_facts": 1.0, "probe_text": 3.0}) == {"quality": 0.5, "language modelling": 3.0}
    assert Swap(mix="m", parts=(), ratios={"a": 1.0, "b": 2.0}, kept=True).worst == 2.0
    assert candidate(about, (0,) * 6, "u", "uniform").recipe == OPTIONS[0].text


def test_rivals_are_the_next_uniform_recipe_and_the_mix_by_text() -> None:
    about = known(3)
    chosen = mix(about, 1700, "mix 0.18")
    judged = Judged(name="mix 0.18", outcome="passed", size=chosen.size or 0, ratios={"quality": 0.5})
    record = SearchRecord(request={}, candidates=(chosen,), screened=(judged,))
    uniform, by_text = rivals(about, record, "mix 0.18", "language modelling")
    assert (uniform.kind, uniform.recipe) == ("uniform", OPTIONS[1].text)
    assert by_text.kind == "by text"
    assert by_text.size == pytest.approx(chosen.size)
    assert (by_text.predicted or {})["language modelling"] <= (chosen.predicted or {})["language modelling"]
    assert (by_text.predicted or {})["quality"] > (chosen.predicted or {})["quality"]
    assert [one.kind for one in rivals(about, record, "mix 0.18", "no such dimension")] == ["uniform"]
