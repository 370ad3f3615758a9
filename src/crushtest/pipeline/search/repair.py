"""A repair of an arm: finer bits, or none, for the blocks that carry most; beside others at the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crushtest.compress.parts import Part
from crushtest.compress.recipes import Recipe, parse_recipe
from crushtest.pipeline.search.locate import Bench, Measures, gains_of, refuse_unmoved, share_of
from crushtest.progress import Progress
from crushtest.stats.verdicts import counted
from crushtest.study.located import LocateRecord, Variant

if TYPE_CHECKING:
    from crushtest.engines.hf.block_divergence import Divergence

FINER = (4, 8)
"""Bits that a repair may give to blocks, besides leaving them dense."""
DRAWS = 3
"""How many draws of random blocks stand beside a repair; their mean is compared."""


@dataclass(frozen=True)
class Repair:
    """What some blocks get in place of the arm's own option: more bits, or none of the recipe."""

    base: str
    finer: str | None
    blocks: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """Return the arm's recipe for all other blocks, and the finer one for these."""
        patterns = ",".join(f"{block}.*" for block in self.blocks)
        rest = f"{self.base},skip={patterns}"
        return rest if self.finer is None else f"{rest}+{self.finer},layers={patterns}"


def with_option(text: str, **changes: int) -> str:
    """Return a one-step recipe with some of its options changed.

    >>> with_option("rtn:bits=3,group_size=64", bits=4)
    'rtn:bits=4,group_size=64'
    """
    method, _, rest = text.partition(":")
    options = dict(piece.split("=", 1) for piece in rest.split(",") if piece)
    options |= {key: str(value) for key, value in changes.items()}
    return f"{method}:{','.join(f'{key}={value}' for key, value in options.items())}"


def why_not(recipe: Recipe) -> str:
    """Return why no repair can be tried; empty if one can: one step with bits, in groups that can be halved."""
    step = recipe.steps[0]
    size = step.options.get("group_size")
    if len(recipe.steps) > 1 or step.layers or step.skip:
        return "the recipe has several steps or patterns of layers"
    if "bits" not in step.options or not isinstance(size, int) or size < 2 or size % 2:
        return "the recipe has no bits in groups that can be halved, so nothing is of equal bytes"
    return ""


def unequal(parts: Sequence[Part]) -> str:
    """Return why as many of these blocks as others are not of equal bytes; empty if they are."""
    return (
        ""
        if len({part.dense_bits for part in parts}) == 1
        else "the blocks differ in size, so nothing is of equal bytes"
    )


def try_repair(
    bench: Bench, recipe: Recipe, arm: Measures, record: LocateRecord, seed: int, progress: Progress
) -> LocateRecord:
    """Choose a repair on the half that located; compare it on the other half, at the bytes of groups half as large."""
    why = why_not(recipe) or unequal(bench.search.parts)
    if why:
        return record.model_copy(update={"why": why})
    step = recipe.steps[0]
    smaller = parse_recipe(with_option(recipe.text, group_size=step.options["group_size"] // 2))
    bits = {text: _bits(bench, parse_recipe(text)) for text in (recipe.text, smaller.text, *_finer(recipe))}
    budget = bits[smaller.text] - bits[recipe.text]
    order, count = [part.name for part in record.parts], len(record.parts)
    possible = [
        Repair(recipe.text, finer, tuple(order[:k]))
        for finer in (*_finer(recipe), None)
        if (k := int(count * budget / ((16.0 if finer is None else bits[finer]) - bits[recipe.text]) + 1e-9)) > 0
    ]
    if not possible:
        return record.model_copy(update={"why": "halving the groups costs less than one block of finer bits"})
    with progress.step("repair", len(possible) + DRAWS + 4) as advance:
        tried = {}
        for one in possible:
            tried[one] = share_of(
                list(gains_of(bench.search, arm, arm, bench.measures(parse_recipe(one.recipe), bench.search)).values())
            ).value
            advance(1)
        repair = max(tried, key=lambda one: tried[one])
        measured = {}
        for name, text in _compared(recipe, smaller, repair, order, seed):
            measured[name] = (text, bench.measures(parse_recipe(text), bench.verify))
            advance(1)
    refuse_unmoved(record.arm, measured["arm"][1])
    variants = _variants(bench, measured)
    helps = all(one.ahead.low is not None and one.ahead.low > 0 for one in variants if one.ahead is not None)
    return record.model_copy(update={"variants": tuple(variants), "repair": repair.recipe, "helps": helps})


def _finer(recipe: Recipe) -> list[str]:
    return [with_option(recipe.text, bits=bits) for bits in FINER if bits > recipe.steps[0].options["bits"]]


def _bits(bench: Bench, recipe: Recipe) -> float:
    with bench.compressed(recipe):
        return bench.bits[recipe.text]


def _compared(
    recipe: Recipe, smaller: Recipe, repair: Repair, order: Sequence[str], seed: int
) -> Iterator[tuple[str, str]]:
    """Yield the name and the recipe of all that is measured on the other half."""
    k, in_model = len(repair.blocks), sorted(order, key=lambda name: int(name.rsplit(".", 1)[-1]))
    chance = random.Random(f"locate, {seed}")
    yield "arm", recipe.text
    yield "repair", repair.recipe
    for draw in range(DRAWS):
        blocks = tuple(sorted(chance.sample(in_model, k), key=in_model.index))
        yield f"random blocks, draw {draw + 1}", replace(repair, blocks=blocks).recipe
    yield f"last {counted(k, 'block')}", replace(repair, blocks=tuple(in_model[-k:])).recipe
    yield "smaller groups everywhere", smaller.text


def _variants(bench: Bench, measured: Mapping[str, tuple[str, dict[str, Divergence]]]) -> list[Variant]:
    gauge, arm, repair = bench.verify, measured["arm"][1], measured["repair"][1]
    drawn = [measures for name, (_, measures) in measured.items() if name.startswith("random")]
    variants = []
    for name, (text, own) in measured.items():
        gains = gains_of(gauge, arm, arm, own)
        by_dimension: dict[str, list[float]] = {}
        for planned in gauge.planned:
            if planned.name in gains:
                by_dimension.setdefault(planned.dimension, []).append(1 - gains[planned.name].value)
        compared = mean_of(drawn) if name.startswith("random") else own
        ahead = None if name in ("arm", "repair") else share_of(list(gains_of(gauge, arm, compared, repair).values()))
        variants.append(
            Variant(
                name=name,
                recipe=text,
                bits_per_weight=bench.bits[text],
                divergence={key: sum(each) / len(each) for key, each in by_dimension.items()},
                ahead=ahead,
            )
        )
    return variants


def mean_of(draws: Sequence[Measures]) -> dict[str, Divergence]:
    """Return the mean divergence of each item over several draws."""
    first = draws[0]
    return {
        task: each._replace(total=sum((draw[task].total for draw in draws), 0 * each.total) / len(draws))
        for task, each in first.items()
    }
