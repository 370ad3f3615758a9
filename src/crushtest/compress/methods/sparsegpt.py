"""SparseGPT: pruning with the error moved to the weights that stay.

Elias Frantar, Dan Alistarh: SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot. ICML 2023.
https://arxiv.org/abs/2301.00774
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.error_feedback import STRIP, feed_errors_forward
from crushtest.compress.kernels.masks import group_mask, layer_mask, need_whole_groups
from crushtest.compress.kernels.parameters import NM, BlockSize, Damping, Pattern, Sparsity, parse_pattern
from crushtest.compress.kernels.statistics import InputGram
from crushtest.errors import CompressionError
from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method("sparsegpt", source="arXiv:2301.00774", kind="pruning")
def sparsegpt(
    weight: Tensor,
    inputs: InputGram,
    *,
    sparsity: Sparsity = 0.5,
    pattern: Pattern = "unstructured",
    block_size: BlockSize = 128,
    damping: Damping = 0.01,
) -> Tensor:
    """Prune column by column, `block_size` at a time (Algorithm 1); what is left makes up for what went.

    The weights with the smallest w^2 / U_jj^2 go: of every block, or of every n:m group when the loop reaches it.
    Inputs that are always 0 get weight 0. Unlike the authors' code, sparsity 0 changes nothing at all.
    """
    structure = parse_pattern(pattern)
    if structure is None and sparsity == 0:
        return weight.clone()
    if structure:
        need_whole_groups(weight.shape[1], structure)
        if block_size % structure.m:
            raise CompressionError(
                f"block_size must be a multiple of {structure.m} with pattern {pattern} (got {block_size})"
            )
    factor = inputs.inverse_factor(damping)
    columns = weight.T.float().clone()
    columns[inputs.dead] = 0.0
    pruner = _Pruner(columns, factor.upper.diagonal(), sparsity, structure)
    strip = structure.m * max(1, STRIP // structure.m) if structure else STRIP  # whole groups
    feed_errors_forward(columns, factor.upper, pruner, block_size=block_size, strip=strip)
    return columns.T.to(weight.dtype).contiguous()


class _Pruner:
    """Decides the masks of one weight, given as columns [in_features, out_features], while the loop goes over it."""

    def __init__(self, columns: Tensor, diagonal: Tensor, sparsity: float, structure: NM | None) -> None:
        import torch

        self._diagonal = diagonal.unsqueeze(1)
        self._sparsity = sparsity
        self._structure = structure
        self._mask = torch.zeros_like(columns, dtype=torch.bool)

    def start_block(self, start: int, block: Tensor) -> None:
        """Choose the weights of an unstructured block [columns, rows] from their values at its beginning."""
        if self._structure is None:
            stop = start + len(block)
            self._mask[start:stop] = layer_mask((block / self._diagonal[start:stop]).square_(), self._sparsity)

    def __call__(self, index: int, ahead: Tensor) -> Tensor:
        """Return the new value of column `index`, the first of `ahead` (columns of its block that are still to do)."""
        structure = self._structure
        if structure and index % structure.m == 0:
            stop = index + structure.m
            scores = (ahead[: structure.m] / self._diagonal[index:stop]).square_()
            self._mask[index:stop] = group_mask(scores.T, structure).T
        return ahead[0].masked_fill(self._mask[index], 0.0)
