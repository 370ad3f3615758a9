"""The repeats of a noise floor: the dense arm measured again, with nothing changed but how it is measured.

Every repeat asks the items in another order and in smaller packs and batches. With `noise_floor.vary` every repeat also
runs in another dtype, on another number of threads, or in another engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from crushtest.errors import UnknownName, UsageError
from crushtest.registry import ENGINES
from crushtest.study.arms import Arm, own_dtype, parse_engine, trust
from crushtest.study.spec import DTYPES, StudySpec

VARY = "noise_floor.vary"
VARIED = ("dtype", "threads", "engine")
PACKING = ("pack_tokens", "batch_size")
"""Options of engines that say how much is run at once."""


class Variation(NamedTuple):
    """What repeats vary besides order and packing; None for what stays as it is."""

    dtype: str | None = None
    threads: int | None = None
    engine: str | None = None


def repeats_of(spec: StudySpec, dense: Arm) -> tuple[Arm, ...]:
    """Return the repeats of the study's dense arm, numbered from 1; the same for the same study.

    Raises UsageError for a `noise_floor.vary` that names no way of measuring, or that would vary nothing.
    """
    variation = read_variation(spec.noise_floor.vary)
    if spec.noise_floor.vary and not spec.noise_floor.repeats:
        raise UsageError(f"{VARY} says how repeats differ, but there are none: noise_floor must be at least 1 (got 0)")
    if variation.engine:
        engine, options = parse_engine(variation.engine)
        if ENGINES.get(engine).about.in_process and own_dtype(spec, VARY, variation.engine):
            raise UsageError(f"{VARY}: give the dtype by itself, as in dtype=bfloat16, not as an option of the engine")
        if not ENGINES.get(engine).about.in_process:
            options |= trust(spec, VARY, variation.engine, options)
        dense = replace(dense, engine=engine, engine_options=options)
    if not dense.in_process and (variation.dtype or variation.threads):
        able = " or ".join(repr(entry.name) for entry in ENGINES if entry.about.in_process)
        raise UsageError(f"{VARY}: dtype and threads can be varied in engine {able} only (got {dense.engine!r})")
    if variation.dtype == spec.dtype:
        raise UsageError(f"{VARY}: dtype={variation.dtype} is what the study runs in; name another one")
    if variation.dtype:
        dense = replace(dense, model_options=replace(dense.model_options, dtype=variation.dtype))
    dense = replace(dense, threads=variation.threads)
    return tuple(
        replace(dense, repeat=number, engine_options=repacked(dense.engine_options, number))
        for number in range(1, spec.noise_floor.repeats + 1)
    )


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
    return {key: max(1, value * 7 // (4 * (6 + number))) if key in PACKING else value for key, value in options.items()}
