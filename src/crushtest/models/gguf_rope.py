"""The rope of a GGUF file: transformers takes its base from some files and the scaling of long contexts from none.

Read are the kinds that a file describes in full: `linear`, `yarn`, and Llama 3's, which the file holds as one factor
per frequency. The numbers that made those factors are not in it, so the usual ones must give the same factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.gguf_header import GgufHeader

LLAMA3: Mapping[str, Any] = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""How Llama 3.1, 3.2 and 3.3 were stretched, but for the factor, which is the largest that a file holds."""
_OF_YARN = {"type", "factor", "original_context_length", "finetuned"}
_CLOSE = 1e-4


def rope_of(path: Path, header: GgufHeader) -> dict[str, Any]:
    """Return what a file says of its rope, under the names of transformers' `rope_parameters`; empty if nothing.

    ModelError for a scaling that is not read.
    """
    base = header.settings.get("rope.freq_base")
    rope: dict[str, Any] = {} if base is None else {"rope_theta": float(base)}
    scaling = {
        key.removeprefix("rope.scaling."): value for key, value in header.settings.items() if "rope.scaling." in key
    }
    kind, by_tensor = scaling.get("type", "none"), any(t.name.startswith("rope_f") for t in header.tensors)
    if by_tensor and kind in ("none", "linear", "llama3") and scaling.get("factor", 1.0) == 1.0:
        return rope | _of_factors(path, header, rope.get("rope_theta", 10_000.0))
    if by_tensor or kind not in ("none", "linear", "yarn"):
        raise _unread(path, f"its rope is scaled by {kind if kind != 'none' else 'factors'!r}")
    if kind == "none" or scaling.get("factor", 1.0) == 1.0:
        return rope
    if odd := sorted(scaling.keys() - _OF_YARN):
        raise _unread(path, f"its rope is scaled with rope.scaling.{odd[0]} = {scaling[odd[0]]}")
    rope |= {"rope_type": kind, "factor": float(scaling["factor"])}
    if kind == "yarn":
        trained: Any = scaling.get("original_context_length", header.settings.get("context_length"))
        rope["original_max_position_embeddings"] = int(trained)
    return rope


def _of_factors(path: Path, header: GgufHeader, base: float) -> dict[str, Any]:
    """Return Llama 3's scaling if it gives the file's factors, nothing if they are all 1."""
    factors = header.rope_factors
    if not factors:
        raise _unread(path, "its rope is scaled by factors of its own for long texts")
    if all(factor == 1.0 for factor in factors):
        return {}
    wanted: dict[str, Any] = {**LLAMA3, "factor": max(factors)}
    meant = llama3_factors(len(factors), base, wanted)
    if not all(math.isclose(one, other, rel_tol=_CLOSE) for one, other in zip(factors, meant, strict=True)):
        raise _unread(path, "its rope is scaled by factors (rope_freqs) that are not Llama 3's")
    return wanted


def llama3_factors(count: int, base: float, rope: Mapping[str, Any]) -> Sequence[float]:
    """Return by how much Llama 3's scaling divides each of `count` frequencies: 1 for fast ones, `factor` for slow."""
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    factors = []
    for index in range(count):
        turns = rope["original_max_position_embeddings"] * base ** (-index / count) / (2 * math.pi)
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - share) / factor + share))
    return factors


def _unread(path: Path, what: str) -> ModelError:
    return ModelError(
        f"model file {str(path)!r}: {what}, which is not read here (allowed: linear, yarn, Llama 3's factors, or "
        "none); engine 'llamacpp' runs the file"
    )
