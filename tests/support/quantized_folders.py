"""Folders of a tiny Llama, quantized from known codes and written as each format's own tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from support.tiny_models import network, tokenizer

Parts = dict[str, Tensor]


def pack(codes: Tensor, bits: int) -> Tensor:
    """Pack codes along the last dimension, bit by bit, into words of 32 bits (as int32)."""
    stream = ((codes[..., None] >> torch.arange(bits)) & 1).flatten(-2).unflatten(-1, (-1, 32))
    words = (stream.long() << torch.arange(32)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def write_folder(
    folder: Path,
    quantize: Callable[[str, Tensor], tuple[Parts, Tensor]] | None,
    config: dict[str, Any],
    *,
    embeddings: bool = False,
    kind: str = "llama",
) -> dict[str, Tensor]:
    """Write a model folder; return the weights that it stands for.

    quantize  from a layer's name and dense weight to its parts and the weight that they stand for; None: no layer
    """
    model = network(kind)
    model.save_pretrained(folder)
    tokenizer(template=True).save_pretrained(folder)
    dense = load_file(folder / "model.safetensors")
    stored, meant = dict(dense), dict(dense)
    ending = ("_proj.weight", "embed_tokens.weight", "lm_head.weight") if embeddings else "_proj.weight"
    for name, weight in dense.items():
        if quantize is not None and name.endswith(ending):
            layer = name.removesuffix(".weight")
            parts, meant[name] = quantize(layer, weight)
            del stored[name]
            stored |= {f"{layer}.{part}": tensor.contiguous() for part, tensor in parts.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return meant


def random_codes(*shape: int, bits: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 1 << bits, shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def random_scales(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return ((values + 0.5) / 64).to(dtype)


def gptq(bits: int, *, groups: int = 4, version: int = 1, act_order: bool = False) -> Any:
    """Return `quantize` for GPTQ: groups of inputs, in order or shuffled."""

    def quantize(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
        outputs, inputs = weight.shape
        codes, zeros = random_codes(outputs, inputs, bits=bits), random_codes(groups, outputs, bits=bits, seed=1)
        scales = random_scales(groups, outputs)
        group = torch.arange(inputs) // (inputs // groups)
        if act_order:
            group = group[torch.randperm(inputs, generator=torch.Generator().manual_seed(0))]
        stored_zeros = (zeros - (1 if version == 1 else 0)) % (1 << bits)
        parts = {
            "qweight": pack(codes, bits).T,
            "qzeros": pack(stored_zeros, bits),
            "scales": scales,
            "g_idx": group.to(torch.int32),
        }
        meant = torch.empty(outputs, inputs)
        for column in range(inputs):
            meant[:, column] = (codes[:, column] - zeros[group[column]]) * scales[group[column]].float()
        return parts, meant

    return quantize


def awq(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    """Quantize as AutoAWQ's `gemm`: eight columns of outputs per word, in the kernel's order."""
    outputs, inputs = weight.shape
    groups = 4
    codes, zeros = random_codes(inputs, outputs, bits=4), random_codes(groups, outputs, bits=4, seed=1)
    scales = random_scales(groups, outputs)

    def shuffled(values: Tensor) -> Tensor:
        words = torch.zeros(values.shape[0], values.shape[1] // 8, dtype=torch.int64)
        for bit, column in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
            words |= values[:, column::8] << (4 * bit)
        return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)

    spread = inputs // groups
    meant = torch.empty(outputs, inputs)
    for row in range(inputs):
        meant[:, row] = (codes[row] - zeros[row // spread]) * scales[row // spread].float()
    return {"qweight": shuffled(codes), "qzeros": shuffled(zeros), "scales": scales}, meant


def mlx(bits: int, *, group_size: int = 32) -> Any:
    """Return `quantize` for MLX's affine mode."""

    def quantize(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
        outputs, inputs = weight.shape
        codes = random_codes(outputs, inputs, bits=bits)
        scales, biases = random_scales(outputs, inputs // group_size), -random_scales(outputs, inputs // group_size) * 7
        meant = torch.empty(outputs, inputs)
        for column in range(inputs):
            group = column // group_size
            meant[:, column] = codes[:, column] * scales[:, group].float() + biases[:, group].float()
        return {"weight": pack(codes, bits).view(torch.uint32), "scales": scales, "biases": biases}, meant

    return quantize


def fp8(layer: str, weight: Tensor, block: int = 40) -> tuple[Parts, Tensor]:
    """Quantize in blocks that do not divide the layers' sizes."""
    outputs, inputs = weight.shape
    codes = weight.to(torch.float8_e4m3fn)
    scale = random_scales(-(-outputs // block), -(-inputs // block), dtype=torch.float32)
    meant = torch.empty(outputs, inputs)
    for row in range(outputs):
        for column in range(inputs):
            meant[row, column] = codes[row, column].float() * scale[row // block, column // block]
    return {"weight": codes, "weight_scale_inv": scale}, meant
