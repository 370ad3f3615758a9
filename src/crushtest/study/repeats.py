"""The repeats for the noise floor: arms measured again, with nothing changed but how they are measured.

Every repeat asks the items in another order and in smaller packs and batches. With `noise_floor.vary` every repeat also
runs in another dtype, on another number of threads, or in another engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from crushtest.errors import UnknownName, UsageError
from crushtest.records import DENSE
from crushtest.registry import ENGINES
from crushtest.study.arms import Arm, own_dtype, parse_engine, trust
from crushtest.study.spec import ALL_ARMS, AUTO, DTYPES, NoiseFloorSpec, StudySpec

ARMS = "noise_floor.arms"
VARY = "noise_floor.vary"
VARIED = ("dtype", "threads", "engine")
PACKING = {"pack_tokens": 2048, "batch_size": 64}
"""Options of engines that say how much is run at once, and what is usual where memory decides (None)."""


class Variation(NamedTuple):
    """What repeats vary besides order and packing; None for what stays as it is."""

    dtype: str | None = None
    threads: int | None = None
    engine: str | None = None


def repeats_of(spec: StudySpec, arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return the repeats of a study's arms, dense first, each arm's numbered from 1; the same for the same study.

    Raises UsageError for a `noise_floor.vary` that names no way of measuring, or that dense cannot vary; UnknownName
    for a name in `noise_floor.arms` that no arm has.
    """
    floor, variation = spec.noise_floor, read_variation(spec.noise_floor.vary)
    for key, given in ((VARY, floor.vary), (ARMS, floor.arms != NoiseFloorSpec().arms)):
        if given and not floor.repeats:
            raise UsageError(f"{key} is about repeats, but there are none: noise_floor must be at least 1 (got 0)")
    if variation.dtype == spec.dtype:
        raise UsageError(f"{VARY}: dtype={variation.dtype} is what the study runs in; name another one")
    return tuple(
        replace(varied, repeat=number, engine_options=repacked(varied.engine_options, number))
        for varied in (_varied(spec, arm, arms[0], variation) for arm in arms_repeated(floor.arms, arms))
        for number in range(1, floor.repeats + 1)
    )


def arms_repeated(chosen: Sequence[str], arms: Sequence[Arm]) -> Iterator[Arm]:
    """Yield the arms that `noise_floor.arms` chooses, dense first."""
    words = (*(arm.name for arm in arms), ALL_ARMS, AUTO)
    for name in chosen:
        if name not in words:
            raise UnknownName("arm", name, words, where=ARMS)
    for arm in arms:
        if ALL_ARMS in chosen or arm.name in chosen or (AUTO in chosen and has_own_noise(arm, arms[0])):
            yield arm


def has_own_noise(arm: Arm, dense: Arm) -> bool:
    """Return True unless dense's noise stands for an arm's: dense with a recipe, in dense's engine and dtype.

    Files that somebody else compressed may be multiplied in another way (activations rounded to 8 bits), so an arm
    with a model of its own has its own noise.
    """
    as_found = arm.recipe is None and arm.model != dense.model
    return as_found or any(
        getattr(arm, how) != getattr(dense, how) for how in ("engine", "engine_options", "model_options")
    )


def _varied(spec: StudySpec, arm: Arm, dense: Arm, variation: Variation) -> Arm:
    """Return an arm with what its repeats vary besides order and packing.

    Raises UsageError for what dense cannot vary. Another arm leaves that out, and keeps an engine of its own.
    """
    if variation.engine and (arm.engine, arm.engine_options) == (dense.engine, dense.engine_options):
        engine, options = parse_engine(variation.engine)
        traits = ENGINES.get(engine).about
        if traits.in_process and own_dtype(spec, VARY, variation.engine):
            raise UsageError(f"{VARY}: give the dtype by itself, as in dtype=bfloat16, not as an option of the engine")
        if not traits.in_process:
            options |= trust(spec, VARY, variation.engine, options)
        if arm.recipe is None or traits.takes_recipes:
            arm = replace(arm, engine=engine, engine_options=options)
    unable = [] if arm.in_process or not variation.dtype else [f"dtype={variation.dtype}"]
    if variation.dtype and arm.in_process:
        arm = replace(arm, model_options=replace(arm.model_options, dtype=variation.dtype))
    if variation.threads and "threads" in arm.engine_options:
        arm = replace(arm, engine_options={**arm.engine_options, "threads": variation.threads})
    elif variation.threads and arm.in_process:
        arm = replace(arm, threads=variation.threads)
    elif variation.threads:
        unable.append(f"threads={variation.threads}")
    if unable and arm.name == DENSE:
        raise UsageError(f"{VARY}: engine {arm.engine!r} cannot vary {' and '.join(unable)}, only order and packing")
    return arm


def read_variation(given: Sequence[str]) -> Variation:
    """Return the variation that texts like `dtype=bfloat16`, `threads=1`, `engine=hf:batch_size=8` ask for."""
    variation: dict[str, Any] = {}
    for text in given:
        what, equals, value = text.partition("=")
        if what not in VARIED:
            raise UnknownName("way of measuring", what, VARIED, where=VARY)
        if not equals or not value:
            raise UsageError(f"{VARY}: {text!r} must say with what, as in dtype=bfloat16, threads=1, engine=NAME")
        if what in variation:
            raise UsageError(f"{VARY}: {what} is given twice; every repeat runs with one")
        variation[what] = value
    if "dtype" in variation and variation["dtype"] not in DTYPES:
        raise UnknownName("dtype", variation["dtype"], DTYPES, where=VARY)
    if "threads" in variation:
        threads = variation["threads"]
        if not threads.isdecimal() or int(threads) < 1:
            raise UsageError(f"{VARY}: threads must be a whole number of at least 1 (got {threads!r})")
        variation["threads"] = int(threads)
    return Variation(**variation)


def repacked(options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return an engine's options with packs and batches cut to a quarter in repeat 1, and further in each one after."""
    return {
        key: max(1, (value or PACKING[key]) * 7 // (4 * (6 + number))) if key in PACKING else value
        for key, value in options.items()
    }
