"""From sensitivities to candidates: a ladder of mixes by integer program, uniform recipes, and what was given."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from crushtest.compress.allocation import allocate, rungs, size_of
from crushtest.compress.parts import Part, recipe_of
from crushtest.compress.recipes import Recipe
from crushtest.errors import UsageError
from crushtest.study.searched import Candidate, CandidateKind, Cell, SearchRecord

REFERENCE_BITS = 4.0
"""Bits per weight of the option that a divergence is measured by: that of the option nearest to it, everywhere."""
RUNGS = 10


@dataclass(frozen=True)
class Sensitivities:
    """What every part costs at every option, the last of which leaves it dense.

    divergence  [dimensions, parts, options + 1], a share of what the reference option costs everywhere: the mean over a
                dimension's tasks
    bits        [parts, options + 1]
    dimensions  their names
    reference   the option that is the scale
    scale       task -> what the reference option costs everywhere, in nats
    tasks       task -> its dimension
    """

    parts: tuple[Part, ...]
    options: tuple[Recipe, ...]
    dimensions: tuple[str, ...]
    divergence: NDArray[np.float64]
    bits: NDArray[np.int64]
    reference: Recipe
    scale: Mapping[str, float]
    tasks: Mapping[str, str]

    @property
    def dense_bits(self) -> int:
        """Return the bits of all parts as they are."""
        return int(self.bits[:, -1].sum())

    def size(self, chosen: Sequence[int]) -> float:
        """Return the size of a mix, as a share of what its parts take at 16 bits."""
        return size_of(self.bits, chosen) / self.dense_bits

    def predicted(self, chosen: Sequence[int]) -> dict[str, float]:
        """Return the sum of the parts' divergences, by dimension."""
        sums = self.divergence[:, np.arange(len(self.parts)), list(chosen)].sum(axis=1)
        return dict(zip(self.dimensions, sums.tolist(), strict=True))

    def of_dimensions(self, names: Iterable[str]) -> Sensitivities:
        """Return what these dimensions alone say."""
        kept = [place for place, name in enumerate(self.dimensions) if name in set(names)]
        dimensions = tuple(self.dimensions[place] for place in kept)
        return replace(self, dimensions=dimensions, divergence=self.divergence[kept])

    def ratios(self, measured: Mapping[str, float]) -> dict[str, float]:
        """Return the divergence of each dimension as a share of the reference's, from those of tasks in nats."""
        shares: dict[str, list[float]] = {}
        for task, value in measured.items():
            if task in self.tasks and self.tasks[task] in self.dimensions:
                shares.setdefault(self.tasks[task], []).append(value / self.scale[task])
        return {dimension: sum(each) / len(each) for dimension, each in shares.items()}


def read_sensitivities(cells: Mapping[str, Cell], parts: Sequence[Part], options: Sequence[Recipe]) -> Sensitivities:
    """Return the measured cells as arrays, on the scale of each task."""
    tasks = {cell.task: cell.dimension for cell in cells.values()}
    dimensions = tuple(dict.fromkeys(tasks.values()))
    part_at = {part.name: place for place, part in enumerate(parts)}
    option_at = {option.text: place for place, option in enumerate(options)}
    by_task = {task: np.zeros((len(parts), len(options) + 1)) for task in tasks}
    bits = np.zeros((len(parts), len(options) + 1), np.int64)
    bits[:, -1] = [part.dense_bits for part in parts]
    for cell in cells.values():
        place = part_at[cell.part], option_at[cell.option]
        by_task[cell.task][place] = cell.divergence
        bits[place] = cell.stored_bits
    per_weight = bits[:, :-1].sum(axis=0) * 16 / bits[:, -1].sum()
    reference = int(np.abs(per_weight - REFERENCE_BITS).argmin())
    scaled: dict[str, list[NDArray[np.float64]]] = {name: [] for name in dimensions}
    scale = {task: float(values[:, reference].sum()) or 1.0 for task, values in by_task.items()}
    for task, values in by_task.items():
        scaled[tasks[task]].append(values / scale[task])
    return Sensitivities(
        parts=tuple(parts),
        options=tuple(options),
        dimensions=dimensions,
        divergence=np.stack([np.mean(scaled[name], axis=0) for name in dimensions]),
        bits=bits,
        reference=options[reference],
        scale=scale,
        tasks=tasks,
    )


def candidates(
    known: Sensitivities, given: Sequence[Recipe], target: float | None, *, count: int = RUNGS
) -> list[Candidate]:
    """Return what is screened: mixes, uniform recipes and those given, none of them twice.

    Without a target the mixes have `count` sizes, from the smallest option everywhere to the largest. With one there is
    the mix of that size, and uniform recipes that are no larger.
    Raises UsageError if no mix is as small as the target.
    """
    found: dict[str, Candidate] = {}
    for candidate in (*_uniform(known, target), *_mixes(known, target, count), *_given(given)):
        if candidate.recipe:  # empty: dense itself, which is as large as the ladder where an option saves nothing
            found.setdefault(candidate.recipe, candidate)
    return list(found.values())


def too_small(target: float, smallest: float) -> UsageError:
    """Return the error that says that no mix of the options is as small as the target."""
    return UsageError(
        f"target: no mix of these options is as small as size={target:g} (the smallest is {smallest:.3g}); choose a "
        "larger target, or options that take less"
    )


def mix(known: Sensitivities, most: int, name: str) -> Candidate:
    """Return the mix of at most so many bits that diverges least."""
    return candidate(known, allocate(known.divergence, known.bits, most).options, name, "mix")


def candidate(known: Sensitivities, chosen: Sequence[int], name: str, kind: CandidateKind) -> Candidate:
    """Return the candidate with these options."""
    return Candidate(
        name=name,
        recipe=recipe_of(known.parts, known.options, chosen),
        kind=kind,
        size=known.size(chosen),
        predicted=known.predicted(chosen),
        chosen=tuple(chosen),
    )


def rivals(known: Sensitivities, record: SearchRecord, about: str, text: str) -> list[Candidate]:
    """Return what is no candidate and is compared with one of this name.

    These are the uniform recipe next in size above it, and the mix of its size by the dimension `text` alone.
    """
    tried = {one.recipe for one in record.candidates or ()}
    size = next(one.size for one in record.screened or () if one.name == about)
    others = [one for one in _uniform(known, None) if (one.size or 0) >= size and one.recipe not in tried]
    found = sorted(others, key=lambda one: one.size or 0)[:1]
    most, least = round(size * known.dense_bits), int(known.bits.min(axis=1).sum())
    if text in known.dimensions and len(known.dimensions) > 1 and most >= least:
        by_text = known.of_dimensions([text])
        chosen = allocate(by_text.divergence, known.bits, most).options
        found.append(candidate(known, chosen, f"by text {size:.3f}", "by text"))
    return [one for one in found if one.recipe and one.recipe not in tried]


def _mixes(known: Sensitivities, target: float | None, count: int) -> Iterator[Candidate]:
    if target is not None:
        most = floor(target * known.dense_bits)
        least = int(known.bits.min(axis=1).sum())
        if least > most:
            raise too_small(target, least / known.dense_bits)
        yield mix(known, most, f"mix {target:g}")
        return
    sizes = rungs(known.bits[:, :-1], count)
    for most, size in zip(sizes, distinct_texts([most / known.dense_bits for most in sizes]), strict=True):
        yield mix(known, most, f"mix {size}")


def distinct_texts(values: Sequence[float]) -> list[str]:
    """Return different numbers with three decimals, or with as many as tell them apart.

    >>> distinct_texts([0.26, 0.27]), distinct_texts([0.2601, 0.2604])
    (['0.260', '0.270'], ['0.2601', '0.2604'])
    """
    ever_longer = ([f"{value:.{digits}f}" for value in values] for digits in itertools.count(3))
    return next(texts for texts in ever_longer if len(set(texts)) == len(values))


def _uniform(known: Sensitivities, target: float | None) -> Iterator[Candidate]:
    for place, option in enumerate(known.options):
        chosen = (place,) * len(known.parts)
        if target is None or known.size(chosen) <= target:
            yield candidate(known, chosen, option.text, "uniform")


def _given(given: Sequence[Recipe]) -> Iterator[Candidate]:
    for recipe in given:
        yield Candidate(name=recipe.text, recipe=recipe.text, kind="given")
