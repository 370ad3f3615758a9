"""Round to nearest: the baseline of every quantization paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.grids import QuantizedWeight, dequantized, fit_grid, width_of_groups
from crushtest.compress.kernels.parameters import Bits, GroupSize
from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method("rtn", source="arXiv:2210.17323 (its baseline)", kind="quantization", stores="integers")
@dequantized
def rtn(weight: Tensor, *, bits: Bits = 4, group_size: GroupSize = 128, symmetric: bool = False) -> QuantizedWeight:
    """Round every weight to the nearest point of its group's grid (`grids.fit_grid`)."""
    import torch

    rows, columns = weight.shape
    width = width_of_groups(group_size, columns)
    groups = weight.float().reshape(-1, width)
    grid = fit_grid(groups, bits, symmetric, weight.dtype)
    return QuantizedWeight(
        codes=grid.codes(groups).to(torch.uint8).reshape(rows, columns),
        scale=grid.scale.reshape(rows, -1).to(weight.dtype),
        zero=grid.zero.reshape(rows, -1).to(torch.uint8),
        bits=bits,
        group_size=width,
        symmetric=symmetric,
    )
