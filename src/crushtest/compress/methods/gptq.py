"""GPTQ: quantization with the error moved to the weights that are still to do.

Elias Frantar, Saleh Ashkboos, Torsten Hoefler, Dan Alistarh: GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers. ICLR 2023. https://arxiv.org/abs/2210.17323
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.error_feedback import feed_errors_forward
from crushtest.compress.kernels.grids import Grid, QuantizedWeight, dequantized, fit_grid, width_of_groups
from crushtest.compress.kernels.parameters import Bits, BlockSize, Damping, GroupSize
from crushtest.compress.kernels.statistics import InputGram
from crushtest.registry import method

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@method("gptq", source="arXiv:2210.17323", kind="quantization", stores="integers")
@dequantized
def gptq(
    weight: Tensor,
    inputs: InputGram,
    *,
    bits: Bits = 4,
    group_size: GroupSize = 128,
    symmetric: bool = False,
    act_order: bool = False,
    damping: Damping = 0.01,
    block_size: BlockSize = 128,
) -> QuantizedWeight:
    """Quantize column by column, `block_size` at a time (Algorithm 1); the columns to come make up for the error.

    A group's grid is fitted when the loop reaches the group, to the values at the beginning of its block, as in the
    authors' code. `act_order` takes the columns by falling diag H, and then the groups' grids are fitted beforehand,
    to the original weights (the authors' `static_groups`). Weights that are 0 stay 0, so that a pruned model stays
    pruned: the authors' code does not do that. Inputs that are always 0 get weight 0.
    """
    width = width_of_groups(group_size, weight.shape[1])
    factor = inputs.inverse_factor(damping, descending=act_order)
    columns = weight.T.float().clone()
    # A grid for whole rows is fitted before the dead inputs' weights go, grids for groups after: the authors' order.
    whole = fit_grid(columns.T, bits, symmetric, weight.dtype) if width == len(columns) else None
    columns[inputs.dead] = 0.0
    rounder = _Rounder(columns, width, bits, symmetric, weight.dtype, whole)
    if act_order:
        rounder.fit_all_groups()
        rounder.columns = columns = columns[factor.order]
    rounder.set_order(factor.order.tolist())
    feed_errors_forward(columns, factor.upper, rounder, block_size=block_size)
    return rounder.result()


class _Rounder:
    """Rounds one weight, given as columns [in_features, out_features], while the loop goes over it."""

    def __init__(
        self, columns: Tensor, width: int, bits: int, symmetric: bool, dtype: torch.dtype, whole: Grid | None
    ) -> None:
        import torch

        self.columns = columns
        self._width, self._bits, self._symmetric, self._dtype = width, bits, symmetric, dtype
        self._grids: dict[int, Grid] = {} if whole is None else {0: _flat(whole)}
        self._order: list[int] = []
        self._codes = torch.empty(columns.shape, dtype=torch.uint8, device=columns.device)

    def fit_all_groups(self) -> None:
        """Fit the groups' grids to the columns as they are now, before they are put in another order."""
        for group in range(len(self.columns) // self._width):
            if group not in self._grids:
                self._fit(group)

    def set_order(self, order: list[int]) -> None:
        """Set the input features that the columns stand for, and remember which of their weights are 0."""
        self._order = order
        self._pruned = self.columns == 0
        self._any_pruned = self._pruned.any(dim=1).tolist()

    def start_block(self, start: int, block: Tensor) -> None:
        """Decide nothing for a whole block."""

    def __call__(self, index: int, ahead: Tensor) -> Tensor:
        """Return column `index` rounded; fit its group's grid first if that is still to do."""
        feature = self._order[index]
        group = feature // self._width
        if group not in self._grids:
            self._fit(group)
        grid = self._grids[group]
        codes = grid.codes(ahead[0])
        if self._any_pruned[index]:
            codes = codes.where(~self._pruned[index], grid.zero)
        self._codes[feature] = codes
        return grid.values(codes)

    def result(self) -> QuantizedWeight:
        """Return the rounded weight, features in their own order."""
        import torch

        grids = [self._grids[group] for group in sorted(self._grids)]
        return QuantizedWeight(
            codes=self._codes.T.contiguous(),
            scale=torch.stack([grid.scale for grid in grids], dim=1).to(self._dtype),
            zero=torch.stack([grid.zero for grid in grids], dim=1).to(torch.uint8),
            bits=self._bits,
            group_size=self._width,
            symmetric=self._symmetric,
        )

    def _fit(self, group: int) -> None:
        columns = self.columns[group * self._width : (group + 1) * self._width]
        self._grids[group] = _flat(fit_grid(columns.T, self._bits, self._symmetric, self._dtype))


def _flat(grid: Grid) -> Grid:
    return Grid(grid.scale.flatten(), grid.zero.flatten(), grid.highest)
