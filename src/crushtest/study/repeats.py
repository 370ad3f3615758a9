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
from crushtest.study.arms import Arm, own_dtype, parse_engine
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
    found = read_variation(spec.noise_floor.vary)
    if spec.noise_floor.vary and not spec.noise_floor.repeats:
        raise UsageError(f"{VARY} says how repeats differ, but there are none: noise_floor must be at least 1 (got 0)")
    if found.engine:
        engine, options = parse_engine(found.engine)
        if ENGINES.get(engine).about.in_process and own_dtype(spec, VARY, found.engine):
            raise UsageError(f"{VARY}: give the dtype by itself, as in dtype=bfloat16, not as an option of the engine")
        dense = replace(dense, engine=engine, engine_options=options)
    if not dense.in_process and (found.dtype or found.threads):
        able = " or ".join(repr(entry.name) for entry in ENGINES if entry.about.in_process)
        raise UsageError(f"{VARY}: dtype and threads can be varied in engine {able} only (got {dense.engine!r})")
    if found.dtype == spec.dtype:
        raise UsageError(f"{VARY}: dtype={found.dtype} is what the study runs in; name another one")
    if found.dtype:
        dense = replace(dense, model_options=replace(dense.model_options, dtype=found.dtype))
    dense = replace(dense, threads=found.threads)
    return tuple(
        replace(dense, repeat=number, engine_options=repacked(dense.engine_options, number))
        for number in range(1, spec.noise_floor.repeats + 1)
    )


def read_variation(given: Sequence[str]) -> Variation:
    """The variation that texts like `dtype=bfloat16`, `threads=1`, `engine=hf:batch_size=8` ask for."""
    found: dict[str, Any] = {}
    for text in given:
        what, equals, value = text.partition("=")
        if what not in VARIED:
            raise UnknownName("way of measuring", what, VARIED, where=VARY)
        if not equals or not value:
            raise UsageError(f"{VARY}: {text!r} must say with what, as in dtype=bfloat16, threads=1, engine=NAME")
        if what in found:
            raise UsageError(f"{VARY}: {what} is given twice; every repeat runs with one")
        found[what] = value
    if "dtype" in found and found["dtype"] not in DTYPES:
        raise UnknownName("dtype", found["dtype"], DTYPES, where=VARY)
    if "threads" in found:
        found["threads"] = _whole(found["threads"])
    return Variation(**found)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{VARY}: threads must be a whole number of at least 1 (got {text!r})")
    return int(text)


def repacked(options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """An engine's options with what is run at once cut to a quarter in repeat 1, and further in each one after."""
    return {key: max(1, value * 7 // (4 * (6 + number))) if key in PACKING else value for key, value in options.items()}
