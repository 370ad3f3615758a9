"""FP8 weights with one scale per block, as DeepSeek and Qwen publish them.

    weight[out, in] = float8 * scale        scale of the block of rows and columns that it lies in

transformers takes a block's size from the shape of the scales. That is wrong where the last block is not a whole one
(two blocks of 128 rows for a layer of 192), so the size comes from the configuration here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crushtest.models.quantized.bits import need_shape

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("weight", "weight_scale_inv", "input_scale", "activation_scale")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for scales in another form."""
    if settings.get("scale_fmt") not in (None, "float", "ue8m0"):
        raise ValueError(f"scale_fmt {settings['scale_fmt']!r} is not read (allowed: float, ue8m0)")


def dequantize(parts: Mapping[str, Tensor], settings: Mapping[str, Any], layer: str) -> Tensor:
    """Return a layer's weight [out, in] in float32, rounded once. Scales of activations are not used."""
    import torch

    weight, scale = parts["weight"], parts["weight_scale_inv"]
    if weight.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2) or scale.dtype == torch.uint8:
        raise ValueError(f"weight is of {weight.dtype} and its scale of {scale.dtype}; float8 and a float are needed")
    if scale.numel() == 1:
        return weight.float().mul_(scale.float().reshape(()))
    rows, columns = settings.get("weight_block_size") or (128, 128)
    outputs, inputs = weight.shape
    need_shape("weight_scale_inv", scale, (-(-outputs // rows), -(-inputs // columns)))
    spread = scale.float().repeat_interleave(rows, 0)[:outputs].repeat_interleave(columns, 1)[:, :inputs]
    return weight.float().mul_(spread)
