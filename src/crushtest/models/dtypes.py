"""In which dtype a model is loaded: the one that is asked for, or the checkpoint's own (`auto`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from crushtest.errors import UnknownName
from crushtest.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

    from crushtest.models.gguf_header import GgufHeader

AUTO = "auto"
DTYPES = ("float32", "bfloat16", "float16", AUTO)
PLAIN = {"F64": "float32", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
QUANTIZED = "bfloat16"
"""What `auto` is for a file whose weights are quantized and that names no dtype to compute in: a GGUF file, `demo`.

The dequantized weights are rounded to it once more.
"""
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def dtype_named(name: str) -> torch.dtype | str:
    """Return torch's dtype of that name; `auto` stays. Raises UnknownName."""
    import torch

    if name not in DTYPES:
        raise UnknownName("dtype", name, DTYPES)
    return name if name == AUTO else cast("torch.dtype", getattr(torch, name))


def loaded_dtype(kind: str, checkpoint: Checkpoint, name: str) -> torch.dtype | str:
    """Return the dtype to load a model in; `auto` stays if the checkpoint's config or weights say it to transformers.

    kind   what names the model (`models.find`)
    """
    if name == AUTO and kind == "demo":
        return dtype_named(QUANTIZED)
    if name == AUTO and checkpoint.header is not None:
        return dtype_named(gguf_dtype(checkpoint.header))
    return dtype_named(name)


def gguf_dtype(header: GgufHeader) -> str:
    """Return the dtype of a GGUF file's weights; `QUANTIZED` if they are."""
    return PLAIN.get(header.weight_kind, QUANTIZED)


def config_dtype(config: PreTrainedConfig) -> str | None:
    """Return the dtype that a configuration names; None for none, or one that models are not loaded in here."""
    dtype = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    name = str(dtype).removeprefix("torch.")
    return name if name in DTYPES[:-1] else None


def computes_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether this machine's processors multiply bfloat16 matrices by instructions of their own (x86)."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # no Linux
        return False
    flags = [line.partition(":")[2].split() for line in lines if line.partition(":")[0].strip() == "flags"]
    return bool(flags) and all(any(name in each for name in BFLOAT16_INSTRUCTIONS) for each in flags)
