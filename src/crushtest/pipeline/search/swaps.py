"""Exchange the options of two parts of a mix where that lowers its measured divergence, after the integer program.

The program adds up what parts cost alone. Here mixes are measured whole, on the items that the sensitivities are about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import numpy as np

from crushtest.compress.allocation import size_of
from crushtest.pipeline.search.ladder import Sensitivities, candidate
from crushtest.study.searched import Candidate, SearchRecord, Swap

Measure = Callable[[str], dict[str, float]]
"""Returns the divergence in nats of each task under a recipe."""


class Pair(NamedTuple):
    """Two parts that exchange their options, and the options of all parts then."""

    first: int
    second: int
    chosen: tuple[int, ...]


@dataclass
class _Mix:
    """A mix on its way: the best options so far, how far they diverge at most, and what was tried."""

    chosen: tuple[int, ...]
    worst: float
    tried: set[tuple[int, ...]]


def swap_parts(
    known: Sensitivities,
    record: SearchRecord,
    target: float | None,
    count: int,
    measure: Measure,
    on_swap: Callable[[SearchRecord], None],
) -> SearchRecord:
    """Try swaps in every mix and return the record with those mixes that became better as further candidates.

    count     measurements per mix, the first of which is of the mix as it is
    on_swap   called with the record after each measurement, from which the same call goes on

    The swap that is predicted to be best is tried next; what lowers the largest measured ratio is kept.
    """
    better: list[Candidate] = []
    for one in [one for one in record.candidates or () if one.kind == "mix"]:
        assert one.chosen is not None
        own = [swap for swap in record.swaps if swap.mix == one.name]
        most = size_of(known.bits, one.chosen) if target is None else floor(target * known.dense_bits)
        state, pair = _Mix(one.chosen, float("inf"), set()), Pair(0, 0, one.chosen)
        for number in range(count):
            following = pair if number == 0 else next_swap(known, state.chosen, state.tried, most)
            if following is None:
                break
            if number < len(own):
                swap = own[number]
            else:
                swap = _measured(known, one.name, following, state.worst, measure, first=number == 0)
                record = record.model_copy(update={"swaps": (*record.swaps, swap)})
                on_swap(record)
            state.tried.add(following.chosen)
            if swap.kept:
                state.chosen, state.worst = following.chosen, swap.worst
        if state.chosen != one.chosen:
            better.append(candidate(known, state.chosen, f"{one.name} swapped", "swapped"))
    recipes = {one.recipe for one in record.candidates or ()}
    found = [one for one in better if one.recipe not in recipes]
    return record.model_copy(update={"candidates": (*(record.candidates or ()), *found)})


def _measured(known: Sensitivities, mix: str, pair: Pair, worst: float, measure: Measure, *, first: bool) -> Swap:
    ratios = known.ratios(measure(candidate(known, pair.chosen, mix, "mix").recipe))
    return Swap(
        mix=mix,
        parts=() if first else (known.parts[pair.first].name, known.parts[pair.second].name),
        ratios=ratios,
        kept=max(ratios.values()) < worst,
    )


def next_swap(
    known: Sensitivities, chosen: Sequence[int], tried: Collection[tuple[int, ...]], most: int
) -> Pair | None:
    """Return the swap whose predicted largest ratio is least, among those not tried that keep to the size.

    None if there is no other.
    """
    places, own = np.arange(len(chosen)), np.array(chosen)
    now = known.divergence[:, places, own].sum(axis=1)
    given = known.divergence[:, places[:, None], own[None]]  # [dimensions, parts, parts]: a part with another's option
    change = given - known.divergence[:, places, own][:, :, None]
    worst = (now[:, None, None] + change + change.transpose(0, 2, 1)).max(axis=0)
    for at in np.argsort(worst, axis=None, kind="stable"):
        first, second = divmod(int(at), len(chosen))
        if first >= second or chosen[first] == chosen[second]:
            continue
        swapped = list(chosen)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if tuple(swapped) not in tried and size_of(known.bits, swapped) <= most:
            return Pair(first, second, tuple(swapped))
    return None
