"""GPTQ as AutoGPTQ and GPTQModel store it: arXiv:2210.17323, github.com/ModelCloud/GPTQModel.

    weight[out, in] = (code - zero) * scale        zero and scale of the group that g_idx[in] names

Codes are one stream of bits along `in` for every output, zero points one along `out` for every group. The format `gptq`
(v1) stores every zero point minus 1, modulo 2^bits; `gptq_v2` stores it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crushtest.models.quantized.bits import need_shape, need_whole, unpack

if TYPE_CHECKING:
    from torch import Tensor

BITS = (2, 3, 4, 8)
PARTS = ("qweight", "qzeros", "scales", "g_idx")
STORED_LESS = {"gptq": 1, "gptq_v2": 0}
"""By how much less than itself a format stores a zero point."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a format or a number of bits that is not read."""
    if _format(settings) not in STORED_LESS:
        raise ValueError(f"checkpoint_format {_format(settings)!r} is not read (allowed: {', '.join(STORED_LESS)})")
    if settings.get("bits") not in BITS:
        raise ValueError(f"GPTQ of {settings.get('bits')} bits is not read (allowed: {', '.join(map(str, BITS))})")


def dequantize(parts: Mapping[str, Tensor], settings: Mapping[str, Any], layer: str) -> Tensor:
    """Return a layer's weight [out, in] in float32, exactly: qweight [in * bits / 32, out], scales [groups, out]."""
    import torch

    qweight, scales, qzeros = parts["qweight"], parts["scales"], parts["qzeros"]
    if qweight.dtype != torch.int32:
        raise ValueError(f"qweight is of {qweight.dtype}, must be of torch.int32")
    groups, outputs = scales.shape
    bits = _bits(qzeros.shape[-1], outputs, settings)
    inputs = need_whole("qweight", qweight.shape[0], bits)
    need_shape("qweight", qweight, (inputs * bits // 32, outputs))
    need_shape("qzeros", qzeros, (groups, outputs * bits // 32))
    group = _groups(parts.get("g_idx"), inputs, groups)
    zeros = (unpack(qzeros, bits) + STORED_LESS[_format(settings)]) & ((1 << bits) - 1)
    codes = unpack(qweight.T.contiguous(), bits)
    return codes.sub_(zeros.T[:, group]).float().mul_(scales.float().T[:, group])


def _format(settings: Mapping[str, Any]) -> str:
    return str(settings.get("checkpoint_format") or "gptq").lower()


def _bits(words: int, outputs: int, settings: Mapping[str, Any]) -> int:
    """Return a layer's bits: those of the configuration, or its own where `dynamic` gives some layers others."""
    bits = int(settings["bits"])
    if not settings.get("dynamic"):
        return bits
    of_layer = words * 32 // outputs
    if of_layer not in BITS:
        raise ValueError(f"{words} words of zero points for {outputs} outputs are {of_layer} bits (allowed: {BITS})")
    return of_layer


def _groups(g_idx: Tensor | None, inputs: int, groups: int) -> Tensor:
    """Return the group of every input; without a g_idx they follow one another, equally wide."""
    import torch

    if g_idx is None or not g_idx.numel():
        if inputs % groups:
            raise ValueError(f"scales have {groups} groups, which do not divide {inputs} inputs")
        return torch.arange(inputs) // (inputs // groups)
    need_shape("g_idx", g_idx, (inputs,))
    named = len(set(g_idx.tolist()))
    if named != groups or int(g_idx.min()) < 0 or int(g_idx.max()) >= groups:
        raise ValueError(f"g_idx names {named} groups, scales have {groups}")
    return g_idx.long()
