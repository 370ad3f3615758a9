"""MLX's affine quantization: github.com/ml-explore/mlx, `mlx.core.quantize`.

    weight[out, in] = code * scale + bias        scale and bias per group of neighbouring inputs

Codes are one stream of bits along `in`. Linear layers and embeddings are stored alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crushtest.models.quantized.bits import need_shape, need_whole, unpack

if TYPE_CHECKING:
    from torch import Tensor

BITS = (2, 3, 4, 5, 6, 8)
PARTS = ("weight", "scales", "biases")
ARCHITECTURES = (
    "cohere",
    "cohere2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "stablelm",
    "starcoder2",
)
"""The architectures whose weights mlx-lm 0.32 stores under their own names and as they are.

Of others it stacks experts, transposes weights (GPT-2) or adds 1 to norms (Qwen3-Next), which we would read wrongly.
"""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for another mode, a number of bits or an architecture that is not read."""
    layers = [value for value in settings.values() if isinstance(value, Mapping)]
    for part in (settings, *layers):
        if part.get("mode", "affine") != "affine":
            raise ValueError(f"mode {part['mode']!r} is not read (allowed: affine)")
        if part.get("bits", 4) not in BITS:
            raise ValueError(f"MLX of {part['bits']} bits is not read (allowed: {', '.join(map(str, BITS))})")


def dequantize(parts: Mapping[str, Tensor], settings: Mapping[str, Any], layer: str) -> Tensor:
    """Return a layer's weight [out, in] in float32: weight [out, in * bits / 32], scales and biases [out, groups].

    Exact but for one rounding of the sum in float32; MLX itself rounds to the dtype of the scales.
    """
    override = settings.get(layer)
    settings = {**settings, **override} if isinstance(override, Mapping) else settings
    words, scales, biases = parts["weight"], parts["scales"], parts["biases"]
    bits, width = int(settings["bits"]), int(settings["group_size"])
    outputs, inputs = words.shape[0], need_whole("weight", words.shape[-1], bits)
    if words.dtype.is_floating_point or inputs % width:
        raise ValueError(f"weight is {list(words.shape)} of {words.dtype}, not groups of {width} codes of {bits} bits")
    for name, part in (("scales", scales), ("biases", biases)):
        need_shape(name, part, (outputs, inputs // width))
    codes = unpack(words, bits).float().reshape(outputs, -1, width)
    return codes.mul_(scales.float()[..., None]).add_(biases.float()[..., None]).reshape(outputs, inputs)
