"""Magnitude pruning.

Song Han, Jeff Pool, John Tran, William J. Dally: Learning both Weights and Connections for Efficient Neural Networks.
NeurIPS 2015. https://arxiv.org/abs/1506.02626
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.masks import group_mask, layer_mask
from crushtest.compress.kernels.parameters import Pattern, Scope, Sparsity, parse_pattern
from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method("magnitude", source="arXiv:1506.02626", kind="pruning")
def magnitude(
    weight: Tensor, *, sparsity: Sparsity = 0.5, pattern: Pattern = "unstructured", scope: Scope = "layer"
) -> Tensor:
    """Set the smallest weights to zero: of each layer, of each group of n:m, or of the whole model.

    `scope="global"` is one threshold for all layers: the layer loop turns it into a sparsity for each, since this
    function sees one weight only. The threshold rule is `masks.layer_mask`'s, that of Wanda's baseline.
    """
    structure = parse_pattern(pattern)
    scores = weight.abs().float()
    mask = group_mask(scores, structure) if structure else layer_mask(scores, sparsity)
    return weight.masked_fill(mask, 0.0)
