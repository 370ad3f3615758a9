"""Wanda: pruning by weights and activations.

Mingjie Sun, Zhuang Liu, Anna Bair, J. Zico Kolter: A Simple and Effective Pruning Approach for Large Language Models.
ICLR 2024. https://arxiv.org/abs/2306.11695
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.masks import row_mask
from crushtest.compress.kernels.parameters import Pattern, Sparsity
from crushtest.compress.kernels.statistics import InputNorm
from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method("wanda", source="arXiv:2306.11695", kind="pruning")
def wanda(weight: Tensor, inputs: InputNorm, *, sparsity: Sparsity = 0.5, pattern: Pattern = "unstructured") -> Tensor:
    """Set to zero, in every row, the weights whose |W_ij| * ||X_j|| is smallest (section 3)."""
    scores = weight.abs().float() * inputs.norm
    return weight.masked_fill(row_mask(scores, sparsity, pattern), 0.0)
