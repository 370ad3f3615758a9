"""What a compression did, layer by layer: compression.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from crushtest.compress.kernels.grids import ForeignWeight, QuantizedWeight
from crushtest.compress.kernels.parameters import NM
from crushtest.compress.layers.structure import Untouched

DENSE_BITS = 16
"""Dense weights are counted at 16 bits, in which models are published, whatever precision they are evaluated in."""


@dataclass(frozen=True)
class LayerRecord:
    """One step on one layer.

    asked_sparsity   what the options say; None for a method that does not prune
    sparsity         share of its weights that are 0 now
    bits_per_weight  stored bits / weights after this step, with positions, scales and zero points (see `Totals`)
    output_error     |X (W - W')^T| / |X W^T| (Frobenius) for the weights before and after this step, on a sample of
                     calibration tokens; None where the outputs were all 0, and for an expert that no token reached
    changed          how many of its weights have another value now
    tokens           how many calibration tokens were routed to it, for an expert; None for a layer that sees all. If
                     the method looks at no inputs, only the first sequences are run, as few as hold 512 tokens
    pooled           whether an expert saw too few of them and was compressed by the statistics of all experts of its
                     tensor together
    """

    step: int
    name: str
    shape: tuple[int, int]
    asked_sparsity: float | None
    sparsity: float
    bits_per_weight: float
    output_error: float | None
    changed: int
    tokens: int | None = None
    pooled: bool = False


@dataclass(frozen=True)
class Totals:
    """The compressed layers together, and the whole model.

    Sizes are ideal storage. A pruned weight takes no room, but where the kept ones stand does (see `Storage`). A
    quantized weight takes its bits, every scale 16 bits, every zero point its bits, everything else 16 bits per number.

    layers             how many linear layers were compressed
    linear_weights     how many weights they have
    expert_weights     how many of those belong to experts that lie in one tensor with others
    sparsity           share of those that are 0
    bits_per_weight    stored bits / linear_weights
    compression_ratio  1 - compressed / dense, of the compressed layers

    `dense_size_bytes` and `compressed_size_bytes` are of the compressed layers, `*_model_size_bytes` of the whole
    model. None of them is a file's size: that is `saved.weights_size_bytes` in a saved model's compression.json.
    """

    layers: int
    linear_weights: int
    sparsity: float
    bits_per_weight: float
    dense_size_bytes: int
    compressed_size_bytes: int
    compression_ratio: float
    dense_model_size_bytes: int
    compressed_model_size_bytes: int
    expert_weights: int = 0


def saved_totals(folder: Path) -> Totals | None:
    """Return the totals in the compression.json of a folder; None without that file, or for another tool's."""
    try:
        return TypeAdapter(Totals).validate_python(_saved(folder)["totals"])
    except (ValueError, KeyError):
        return None


def saved_recipe(folder: Path) -> str:
    """Return the recipe in the compression.json of a folder; the empty text without one."""
    return str(_saved(folder).get("recipe") or "")


def _saved(folder: Path) -> dict[str, Any]:
    """Return what the compression.json of a folder holds; nothing if it is not JSON, or no object."""
    try:
        content = json.loads((folder / "compression.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class StepRecord:
    """One step of the recipe: all its options, what it was applied to, and how long it took.

    `rescaled` are modules outside the compressed layers that were changed with them, so that the outputs stay the same.
    """

    method: str
    kind: str
    options: dict[str, Any]
    layers: tuple[str, ...]
    skip: tuple[str, ...]
    seconds: float
    rescaled: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompressionRecord:
    """The record of one compression.

    quantized          integers and scales of the quantized layers, by name, for saving them as they are
    quantized_experts  names of the quantized experts that lie in one tensor with others, which are saved dequantized
    calibration        source, sequences, length, seed, `tokens_sha256`
    peak_memory_bytes  the process's highest memory so far (resident; on a GPU that of the GPU besides)
    """

    recipe: str
    steps: tuple[StepRecord, ...]
    totals: Totals
    layers: tuple[LayerRecord, ...]
    untouched: tuple[Untouched, ...]
    calibration: dict[str, Any]
    seconds: float
    peak_memory_bytes: dict[str, int]
    dense_bits: int = DENSE_BITS
    quantized: Mapping[str, QuantizedWeight] = field(default_factory=dict, repr=False, compare=False)
    quantized_experts: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def pooled_experts(self) -> tuple[str, ...]:
        """The experts that some step compressed by pooled statistics, because too few tokens reached them."""
        return tuple(dict.fromkeys(layer.name for layer in self.layers if layer.pooled))

    def to_json(self) -> dict[str, Any]:
        """Return as JSON values what compression.json holds: the names of quantized weights, and all else."""
        content = asdict(replace(self, quantized={})) | {"pooled_experts": self.pooled_experts}
        content["quantized"] = sorted({*self.quantized, *self.quantized_experts})
        del content["quantized_experts"]
        return content


@dataclass
class Storage:
    """How one layer is stored, as step follows step.

    kept     weights that are stored; the others are 0
    pattern  n:m of the pruned layer, None for unstructured
    """

    weights: int
    kept: int
    bits: int = DENSE_BITS
    overhead_bits: int = 0
    pattern: NM | None = None

    def enter(self, zeros: int, quantized: QuantizedWeight | ForeignWeight | None, pattern: NM | None = None) -> None:
        """Take in a step: the zeros there are now, its pattern, and the grid, where it quantized."""
        if quantized is None:
            # A pattern stores n weights of every group, also one that happens to be 0.
            stored = self.weights * pattern.n // pattern.m if pattern else 0
            self.kept, self.pattern = max(self.weights - zeros, stored), pattern
            return
        # Weights that a grid rounds to 0 are stored like the others; pruned ones that are not 0 any more are again.
        self.kept = max(self.kept, self.weights - zeros)
        self.bits, self.overhead_bits = quantized.bits, quantized.overhead_bits

    @property
    def position_bits(self) -> int:
        """Return the bits that say which weights are kept: one per weight of the layer.

        Under a pattern n:m it is `ceil(log2(m))` per kept weight, its index within its group, where that is less. For
        2:4 both are 1 bit per weight; 2-bit indices are NVIDIA's format.
        """
        if self.pattern is None:
            return self.weights
        return min(self.weights, self.kept * (self.pattern.m - 1).bit_length())

    @property
    def stored_bits(self) -> int:
        """Return the bits of the kept weights with their positions, or of all weights if that is less, and of the grid.

        >>> Storage(weights=16, kept=8, pattern=NM(2, 4)).stored_bits / 16
        9.0
        """
        return min(self.kept * self.bits + self.position_bits, self.weights * self.bits) + self.overhead_bits


def add_up(
    storages: Sequence[Storage], zeros: int, untouched: Sequence[Untouched], *, expert_weights: int = 0
) -> Totals:
    """Return the totals of layers stored like this, beside parameters that are left alone."""
    weights = sum(storage.weights for storage in storages)
    bits = sum(storage.stored_bits for storage in storages)
    others = sum(group.parameters for group in untouched) * DENSE_BITS // 8
    dense, compressed = weights * DENSE_BITS // 8, -(-bits // 8)
    return Totals(
        layers=len(storages),
        linear_weights=weights,
        sparsity=zeros / weights,
        bits_per_weight=bits / weights,
        dense_size_bytes=dense,
        compressed_size_bytes=compressed,
        compression_ratio=1 - bits / (weights * DENSE_BITS),
        dense_model_size_bytes=dense + others,
        compressed_model_size_bytes=compressed + others,
        expert_weights=expert_weights,
    )
