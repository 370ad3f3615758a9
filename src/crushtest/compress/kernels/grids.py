"""Quantization grids: integers with a scale and a zero point for each group of weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, ParamSpec

from crushtest.errors import CompressionError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

P = ParamSpec("P")


class Grid(NamedTuple):
    """Scale and zero point, [rows, 1] or [rows, groups], and the highest integer (2^bits - 1)."""

    scale: Tensor
    zero: Tensor
    highest: int

    def codes(self, weight: Tensor) -> Tensor:
        """Return the integers 0..highest (as floats) nearest to these weights."""
        return weight.div(self.scale).round_().add_(self.zero).clamp_(0, self.highest)

    def values(self, codes: Tensor) -> Tensor:
        """Return the weights that integers stand for."""
        return (codes - self.zero).mul_(self.scale)


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight as it is stored: integers, and a scale and a zero point a group.

    codes   [out_features, in_features], uint8, 0..2^bits - 1
    scale   [out_features, groups] in the dtype of the weight; groups are `group_size` neighbouring input features
    zero    [out_features, groups], uint8: the integer that stands for 0
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor
    bits: int
    group_size: int
    symmetric: bool

    def dequantize(self) -> Tensor:
        """Return the weight [out_features, in_features] that the integers stand for, in the dtype of the scale."""
        rows, columns = self.codes.shape
        codes = self.codes.reshape(rows, -1, self.group_size).float()
        values = (codes - self.zero.unsqueeze(2)) * self.scale.unsqueeze(2).float()
        return values.reshape(rows, columns).to(self.scale.dtype)

    @property
    def overhead_bits(self) -> int:
        """Return the bits of all scales (16 each) and of zero points that are not the middle of the grid."""
        return self.scale.numel() * (16 + (0 if self.symmetric else self.bits))


@dataclass(frozen=True)
class ForeignWeight:
    """A weight in a number format that another package stores: its exact values, and how much room they take.

    values         [out_features, in_features]
    bits           of one weight
    overhead_bits  of all scales together
    """

    values: Tensor
    bits: int
    overhead_bits: int

    def dequantize(self) -> Tensor:
        """Return the values."""
        return self.values


def dequantized(quantize: Callable[P, QuantizedWeight | ForeignWeight]) -> Callable[P, Tensor]:
    """Make a method return plain weights; `inspect.unwrap` gives back the one that says how they are stored."""

    @functools.wraps(quantize)
    def method(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return quantize(*args, **kwargs).dequantize()

    return method


def fit_grid(weight: Tensor, bits: int, symmetric: bool, dtype: torch.dtype) -> Grid:
    """Return the grid of each row of `weight` [rows, columns] that spans its least and greatest value, and 0.

    asymmetric  scale = (max - min) / (2^bits - 1), zero = round(-min / scale)
    symmetric   the span is [-max|w|, max|w|], zero = 2^(bits - 1)

    The scale is rounded to `dtype`, in which it is stored; a row of zeros gets the span [-1, 1]. As in GPTQ's own
    quantizer, but that one gives a symmetric grid the span [0, max|w|] where no weight is negative, and so clips the
    upper half.
    """
    import torch

    highest = 2**bits - 1
    low, high = weight.amin(dim=1, keepdim=True).clamp(max=0), weight.amax(dim=1, keepdim=True).clamp(min=0)
    if symmetric:
        high = torch.maximum(low.abs(), high)
        low = -high
    empty = (low == 0) & (high == 0)
    low, high = low.masked_fill(empty, -1.0), high.masked_fill(empty, 1.0)
    scale = ((high - low) / highest).to(dtype).float()
    if not bool((scale > 0).all() and scale.isfinite().all()):
        raise CompressionError(f"weights too small or too large for scales in {dtype}")
    zero = torch.full_like(scale, (highest + 1) // 2) if symmetric else torch.round(-low / scale).clamp_(0, highest)
    return Grid(scale, zero, highest)


def width_of_groups(group_size: int | str | None, columns: int, *, shared: int | None = None) -> int:
    """`group_size` in input features ("channel", None, -1: all of them); CompressionError where it does not divide.

    shared  the greatest common divisor of several layers' input features: then sizes that fit all of them are offered
    """
    size = columns if group_size in ("channel", None, -1) else int(group_size or 0)
    if size < 1 or columns % size:
        works = ", ".join(str(n) for n in (32, 64, 96, 128, 192, 256, 512, 1024) if (shared or columns) % n == 0)
        raise CompressionError(
            f"group_size={size} does not divide {columns} input features (these do: {works or 'none of the usual'}; "
            "or group_size=channel)"
        )
    return size
