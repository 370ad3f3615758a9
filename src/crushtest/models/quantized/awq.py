"""AWQ as AutoAWQ stores it (version `gemm`): arXiv:2306.00978, github.com/casper-hansen/AutoAWQ.

    weight[out, in] = (code - zero) * scale

Codes lie [in, out], eight of 4 bits per word along `out`, and within a word in the order in which the GPU kernel wants
them: the bits from 4 i on hold column ORDER[i].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crushtest.models.quantized.bits import need_shape, unpack

if TYPE_CHECKING:
    from torch import Tensor

BITS = 4
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
PARTS = ("qweight", "qzeros", "scales")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for another version of AWQ, or for other than 4 bits."""
    version = str(settings.get("version") or settings.get("checkpoint_format") or "gemm").lower()
    if version != "gemm":
        raise ValueError(f"version {version!r} of AWQ is not read (allowed: gemm)")
    bits = settings.get("bits", settings.get("w_bit", BITS))
    if bits != BITS:
        raise ValueError(f"AWQ of {bits} bits is not read (allowed: {BITS})")


def dequantize(parts: Mapping[str, Tensor], settings: Mapping[str, Any], layer: str) -> Tensor:
    """Return a layer's weight [out, in] in float32, exactly: qweight [in, out / 8], scales [groups, out]."""
    qweight, scales = parts["qweight"], parts["scales"]
    inputs, groups, outputs = qweight.shape[0], *scales.shape
    need_shape("qweight", qweight, (inputs, outputs // 8))
    need_shape("qzeros", parts["qzeros"], (groups, outputs // 8))
    if outputs % 8 or inputs % groups:
        raise ValueError(f"scales are {[groups, outputs]}, must divide {inputs} inputs into groups")
    width = inputs // groups
    codes, zeros = _in_order(unpack(qweight, BITS)), _in_order(unpack(parts["qzeros"], BITS))
    centred = codes.sub_(zeros.repeat_interleave(width, 0)).float()
    return centred.mul_(scales.float().repeat_interleave(width, 0)).T.contiguous()


def _in_order(codes: Tensor) -> Tensor:
    place = [ORDER.index(column) for column in range(8)]
    return codes.reshape(len(codes), -1, 8)[..., place].reshape(codes.shape)
