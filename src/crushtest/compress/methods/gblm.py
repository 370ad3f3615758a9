"""GBLM: Wanda's score plus the size of the gradient.

Rocktim Jyoti Das, Mingjie Sun, Liqun Ma, Zhiqiang Shen: Beyond Size: How Gradients Shape Pruning Decisions in Large
Language Models. 2023. https://arxiv.org/abs/2311.04902
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.masks import row_mask
from crushtest.compress.kernels.parameters import GradientNorm, GradientScale, Pattern, Sparsity
from crushtest.compress.kernels.statistics import InputNorm, WeightGradient
from crushtest.errors import CompressionError
from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "gblm",
    source="arXiv:2311.04902",
    kind="pruning",
    needs_whole_model="its gradients run through the whole model",
)
def gblm(
    weight: Tensor,
    inputs: InputNorm,
    gradient: WeightGradient,
    *,
    sparsity: Sparsity = 0.5,
    pattern: Pattern = "unstructured",
    gradient_scale: GradientScale = 100.0,
    gradient_norm: GradientNorm = "l2",
) -> Tensor:
    """Set to zero, in every row, the weights whose |W_ij| * ||X_j|| + scale * |W_ij| * G_ij is smallest (equation 4).

    G is the dense model's gradient over the calibration sequences: see `WeightGradient`. The authors' code keeps G in
    float16 and adds up l1 norms there; here both are float32.
    """
    if gradient.norm != gradient_norm:
        raise CompressionError(
            f"gradient_norm={gradient_norm} was asked for, the gradients were added up as {gradient.norm}"
        )
    size = weight.abs().float()
    scores = size * inputs.norm + size * (gradient.size * gradient_scale)
    return weight.masked_fill(row_mask(scores, sparsity, pattern), 0.0)
