"""AWQ: activation-aware weight quantization.

Ji Lin, Jiaming Tang, Haotian Tang, Shang Yang, Wei-Ming Chen, Wei-Chen Wang, Guangxuan Xiao, Xingyu Dang, Chuang Gan,
Song Han: AWQ: Activation-aware Weight Quantization for On-Device LLM Compression and Acceleration. MLSys 2024.
https://arxiv.org/abs/2306.00978
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crushtest.compress.kernels.grids import QuantizedWeight, fit_grid, width_of_groups
from crushtest.compress.kernels.parameters import Bits, GroupSize
from crushtest.compress.kernels.statistics import InputGram, InputSize
from crushtest.compress.layers.collect import naming
from crushtest.compress.layers.loop import Block, Compressed, Job, as_job, compress_blocks, measure
from crushtest.compress.layers.scale_folding import Pair, find_pairs, scale_columns
from crushtest.compress.methods.rtn import rtn
from crushtest.registry import model_method

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.compress.layers.structure import Linear

_RATIOS = 20
_ROWS = 384  # judged at once: few enough to stay in a core's cache, and to give up a bad scale early
_STRIP = 192  # columns of one product: wide enough for the full matmul rate
_CLIPS = 10
_CLIP_STEP = 0.05


@dataclass(frozen=True)
class _Grid:
    bits: int
    group_size: int | str
    symmetric: bool

    def quantize(self, weight: Tensor) -> QuantizedWeight:
        made = inspect.unwrap(rtn)(weight, bits=self.bits, group_size=self.group_size, symmetric=self.symmetric)
        assert isinstance(made, QuantizedWeight)
        return made


@model_method(
    "awq",
    source="arXiv:2306.00978",
    kind="quantization",
    stores="integers",
    no_packed_experts="its search for where a scale can move does not look into such tensors",
)
def awq(
    network: PreTrainedModel | Job,
    batches: Tensor,
    *,
    bits: Bits = 4,
    group_size: GroupSize = 128,
    symmetric: bool = False,
    clip: bool = True,
) -> Iterator[Compressed]:
    """Scale up the input features that are large before rounding, scale them down in the module before (section 3.2).

    For every pair of a source and the layers it feeds, scales mean|x|^r with r = 0, 0.05 .. 0.95 are tried; then, per
    group, clipping by 0 to 45% (not for q and k). Both choose the least |X W^T - X Q(W)^T|^2 of the layers
    themselves, over all calibration tokens, which their Gram matrix gives exactly; the authors' code measures the
    scales on the output of the module around the layers, and on fewer tokens. A generator: the
    model changes as it runs.
    """
    grid = _Grid(bits, group_size, symmetric)
    job = as_job(network, batches, "awq", {"bits": bits, "group_size": group_size, "symmetric": symmetric})

    def compress_block(block: Block) -> Iterator[Compressed]:
        scales = _rescale(block, grid)
        for linear in block.linears:
            with naming(linear.name):
                yield _quantize(block, linear, grid, scales.get(linear.name), clip=clip)

    return compress_blocks(job, (InputGram, InputSize), compress_block)


@dataclass(frozen=True)
class _Scaled:
    """The scale that a layer's columns were multiplied by, and the module that was divided by it."""

    scale: Tensor
    source: str


def _rescale(block: Block, grid: _Grid) -> dict[str, _Scaled]:
    """Scale every pair of a block by its best scale, in place."""
    names = {id(module): name for name, module in block.stream.blocks[block.number].named_modules()}
    prefix = block.linears[0].prefix
    scaled: dict[str, _Scaled] = {}
    for pair in find_pairs(block):
        scale = _best_scale(block, pair, grid)
        scale_columns(pair.linears, scale)
        pair.source.divide(scale)
        source = f"{prefix}.{names[id(pair.source.module)]}"
        scaled |= {linear.name: _Scaled(scale, source) for linear in pair.linears}
    return scaled


def _best_scale(block: Block, pair: Pair, grid: _Grid) -> Tensor:
    size = block.inputs.statistic(pair.linears[0], InputSize).mean.clamp(min=1e-8)
    gram = block.inputs.statistic(pair.linears[0], InputGram).matrix
    folded = gram.triu(1).mul_(2) + gram.diag().diag()
    weights = [linear.weight.float() for linear in pair.linears]
    middle_first = sorted(range(_RATIOS), key=lambda step: abs(step - _RATIOS // 2))
    best, least = size, math.inf
    for scale in (_normalised(size.pow(step / _RATIOS)) for step in middle_first):
        loss = _loss(weights, scale, grid, folded, limit=least)
        if loss <= least:
            best, least = scale, loss
    return best


def _normalised(scale: Tensor) -> Tensor:
    """Return the scale with its extremes equally far from 1."""
    scale = scale.clamp(min=1e-4)
    return scale / (scale.max() * scale.min()).sqrt()


def _loss(weights: list[Tensor], scale: Tensor, grid: _Grid, folded: Tensor, *, limit: float) -> float:
    """Return |X (W - Q)^T|^2 of all weights, up to the Gram matrix's own factor; part of it if above the limit."""
    import torch

    loss = 0.0
    for rows in (rows for weight in weights for rows in torch.split(weight, _ROWS)):
        loss += _size(rows - grid.quantize(rows * scale).dequantize() / scale, folded)
        if loss > limit:
            break
    return loss


def _size(rows: Tensor, folded: Tensor) -> float:
    """Return the sum of d G d^T over rows d; G's lower triangle is folded onto the upper one, which halves the work."""
    strips = range(0, len(folded), _STRIP)
    return sum(
        float(((rows[:, : at + _STRIP] @ folded[: at + _STRIP, at : at + _STRIP]) * rows[:, at : at + _STRIP]).sum())
        for at in strips
    )


def _quantize(block: Block, linear: Linear, grid: _Grid, scaled: _Scaled | None, *, clip: bool) -> Compressed:
    """Clip and round one layer whose columns are scaled already, in place; measured against what it was before."""
    weight = linear.weight
    gram = block.inputs.statistic(linear, InputGram).matrix
    if scaled:
        gram = gram / scaled.scale / scaled.scale.unsqueeze(1)
    # Clipping queries and keys harms attention more than their own outputs show (the authors leave them out too).
    clipped = _clip(weight.float(), gram, grid) if clip and not linear.makes_scores else weight.float()
    quantized = grid.quantize(clipped.to(weight.dtype))
    sample = block.inputs.sample(linear)
    result = measure(linear, weight, quantized, sample / scaled.scale if scaled else sample)
    linear.replace_weight(quantized.dequantize())
    return Compressed(**vars(result) | {"rescaled": scaled.source if scaled else None})


def _clip(weight: Tensor, gram: Tensor, grid: _Grid) -> Tensor:
    """Return the weight with each group limited to the share of its largest value that loses least."""
    import torch

    rows, columns = weight.shape
    width = width_of_groups(grid.group_size, columns)
    groups = weight.reshape(rows, -1, width)
    blocks = torch.stack([gram[at : at + width, at : at + width] for at in range(0, columns, width)])
    largest = groups.abs().amax(dim=2, keepdim=True)
    best = groups.clone()
    least = torch.full(groups.shape[:2], torch.inf, device=weight.device)
    for step in range(_CLIPS):
        limit = largest * (1 - step * _CLIP_STEP)
        limited = groups.clamp(-limit, limit)
        flat = limited.reshape(-1, width)
        fitted = fit_grid(flat, grid.bits, grid.symmetric, weight.dtype)
        difference = groups - fitted.values(fitted.codes(flat)).reshape(groups.shape)
        loss = (torch.einsum("rgi,gij->rgj", difference, blocks) * difference).sum(dim=2)
        better = loss < least
        least = torch.where(better, loss, least)
        best = torch.where(better.unsqueeze(2), limited, best)
    return best.reshape(rows, columns)
