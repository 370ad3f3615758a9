"""A sparsity for each layer from one for the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crushtest.compress.layers.structure import Linear


def allocate_sparsity(linears: Sequence[Linear], sparsity: float) -> dict[str, float]:
    """Return the sparsity of each layer under one magnitude threshold for all, which leaves `sparsity` overall.

    The threshold is found by bisection, counting in every layer, so that the weights need not be gathered in one place.
    """
    weights = [linear.weight for linear in linears]
    wanted = sparsity * sum(weight.numel() for weight in weights)
    low, high = 0.0, max(float(weight.abs().max()) for weight in weights)
    for _ in range(40):
        middle = (low + high) / 2
        below = sum(int((weight.abs() < middle).sum()) for weight in weights)
        low, high = (middle, high) if below < wanted else (low, middle)
    return {
        linear.name: int((weight.abs() < high).sum()) / weight.numel()
        for linear, weight in zip(linears, weights, strict=True)
    }
