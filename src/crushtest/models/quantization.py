"""How checkpoints are quantized: the formats that are read, with what each costs in faithfulness, and the refused ones.

Nothing here needs torch, so that a checkpoint can be refused before any weight is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any, Literal

from crushtest.errors import ModelError
from crushtest.models.quantized import awq, fp8, gptq, mlx

Reading = Literal["exact", "emulated", "refused"]


@dataclass(frozen=True)
class Format:
    """One format of quantized weights.

    method   `quant_method` in config.json, in lower case
    title    what its makers call it
    reading  exact     the weights that a deployment computes with, up to the dtype that is asked for
             emulated  the weights are exact; what else a deployment rounds is rounded in floating point, or not at all
             refused   not read, whatever is installed
    reader   who turns the files into weights; empty for a refused format
    remark   what differs from a deployment, or why the format is refused
    package  what must be installed for it, and the extra that installs it; empty: nothing
    """

    method: str
    title: str
    reading: Reading
    reader: str
    remark: str
    package: str = ""


_OWN = "crushtest"
_THEIRS = "transformers"
_UNTRIED = "no reader here, and none of another package was tried"

FORMATS: tuple[Format, ...] = (
    Format("awq", "AWQ", "exact", _OWN, "version `gemm`, 4 bits"),
    Format("gptq", "GPTQ", "exact", _OWN, "formats `gptq` (v1) and `gptq_v2`; 2, 3, 4 and 8 bits; any `g_idx`"),
    Format(
        "mlx",
        "MLX",
        "exact",
        _OWN,
        "mode `affine`; 2, 3, 4, 5, 6 and 8 bits; architectures that MLX leaves as they are",
    ),
    Format(
        "compressed-tensors",
        "compressed-tensors",
        "emulated",
        _THEIRS,
        "needs the package compressed-tensors; activations are rounded in floating point where the scheme rounds them, "
        "the KV cache is not rounded; where activations are rounded, weights of 4-bit floats are, to bfloat16",
        package="compressed-tensors",
    ),
    Format(
        "bitsandbytes",
        "bitsandbytes",
        "exact",
        _THEIRS,
        "needs the package bitsandbytes, whose kernels run as deployed; LLM.int8() rounds activations",
        package="bitsandbytes",
    ),
    Format(
        "fp8",
        "FP8 in blocks",
        "emulated",
        _THEIRS,
        "dequantized by crushtest, activations not rounded, unless the GPU computes in FP8",
    ),
    Format("modelopt", "NVIDIA ModelOpt", "refused", "", "its scales would be ignored"),
    Format("exl2", "ExLlamaV2", "refused", "", "only ExLlamaV2 reads it"),
    Format("exl3", "ExLlamaV3", "refused", "", "only ExLlamaV3 reads it"),
    *(
        Format(method, title, "refused", "", _UNTRIED)
        for method, title in {
            "aqlm": "AQLM",
            "auto-round": "AutoRound",
            "bitnet": "BitNet",
            "eetq": "EETQ",
            "fbgemm_fp8": "FBGEMM FP8",
            "fp_quant": "FP-Quant",
            "higgs": "HIGGS",
            "hqq": "HQQ",
            "mxfp4": "MXFP4",
            "nvfp4": "NVFP4",
            "quanto": "Quanto",
            "quark": "AMD Quark",
            "spqr": "SpQR",
            "torchao": "torchao",
            "vptq": "VPTQ",
        }.items()
    ),
)
READERS: Mapping[str, ModuleType] = {"awq": awq, "fp8": fp8, "gptq": gptq, "mlx": mlx}
"""Our own readers. That of `fp8` reads where transformers cannot compute in FP8."""

READ = {entry.method: entry for entry in FORMATS if entry.reading != "refused"}
_BY_METHOD = {entry.method: entry for entry in FORMATS}

# Parts of a quantized weight, by the last part of their names. A tensor of such a name that no module takes says that
# codes were taken for weights.
_QUANTIZED_PART = re.compile(
    r"(?<!logit_)(?<!layer_)scale|qweight|qzeros|g_idx|zero_point|weight_packed|weight_shape|bitmask|absmax|quant_map"
    r"|quant_state|SCB$|biases$|_blocks$|trellis|codebook|codes$"
)
# Scales of the KV cache, which transformers keeps in the model's own precision.
_CACHE_SCALE = re.compile(r"(^|[._])(k|v|q|kv|key|value|prob)(_proj)?[._](output_)?(scale|zero_point)$")


@dataclass(frozen=True)
class Quantization:
    """How one checkpoint is quantized: the format, and what its configuration says."""

    format: Format
    settings: Mapping[str, Any]


def quantization_of(
    where: str, config: Mapping[str, Any], modelopt: Mapping[str, Any] | None = None
) -> Quantization | None:
    """Return how a checkpoint is quantized, None if it is not. ModelError for a format that is not read.

    where     the model, for the error
    config    config.json
    modelopt  hf_quant_config.json, which ModelOpt writes beside it; None if there is none
    """
    settings = _settings(config)
    if (stated := config.get("quantization_config")) and not isinstance(stated, Mapping):
        raise ModelError(f"model {where!r}: quantization_config in config.json must be a mapping (got {stated!r})")
    if settings is None:
        algorithm = (modelopt or {}).get("quantization", {}).get("quant_algo")
        if algorithm:
            raise ModelError(_refusal(where, "modelopt", f"hf_quant_config.json ({algorithm})"))
        return None
    method = _method(settings)
    if method not in READ:
        raise ModelError(_refusal(where, method, "config.json"))
    _refuse_variant(where, method, settings, str(config.get("model_type")))
    return Quantization(READ[method], settings)


def method_named(config: Mapping[str, Any]) -> str | None:
    """Return the `quant_method` that config.json names, in lower case; `mlx` for MLX, which names none.

    None if the model is not quantized, the empty text if the method cannot be told.
    """
    settings = _settings(config)
    return None if settings is None else _method(settings)


def title_of(method: str) -> str:
    """Return what a format's makers call it; the method itself if it is not known."""
    return _BY_METHOD[method].title if method in _BY_METHOD else method or "quantized"


def _refuse_variant(where: str, method: str, settings: Mapping[str, Any], architecture: str) -> None:
    """Raise ModelError for a variant of a format that its reader does not read."""
    if method in READERS:
        try:
            READERS[method].check_settings(settings)
        except ValueError as error:
            raise ModelError(f"model {where!r}: {error}") from None
    if method == "mlx" and architecture not in mlx.ARCHITECTURES:
        raise ModelError(
            f"model {where!r}: MLX may store the weights of {architecture!r} under other names, or changed, so they "
            f"are not read (allowed: {', '.join(mlx.ARCHITECTURES)})"
        )


def _settings(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a configuration says of quantization; that of the language model, in one of several models."""
    parts = [config, config.get("text_config"), config.get("llm_config")]
    for part in parts:
        for key in ("quantization_config", "quantization", "compression_config"):
            settings = part.get(key) if isinstance(part, Mapping) else None
            if isinstance(settings, Mapping) and settings:
                return settings
    return None


def _method(settings: Mapping[str, Any]) -> str:
    """Return the name of the format; the empty text where a configuration gives none."""
    if settings.get("load_in_8bit") or settings.get("load_in_4bit"):
        return "bitsandbytes"
    method = settings.get("quant_method")
    if method is None and {"bits", "group_size"} <= settings.keys():
        return "mlx"  # it names no method
    return str(method or "").lower()


def _refusal(where: str, method: str, file: str) -> str:
    entry = _BY_METHOD.get(method)
    why = entry.remark if entry else "an unknown method" if method else "it names no quant_method"
    near = get_close_matches(method, READ, n=1)
    hint = f"; did you mean {near[0]!r}?" if near and not entry else ""
    return (
        f"model {where!r}: {file} says that it is quantized by {method!r}, which is not read: {why}{hint} "
        f"(allowed: {', '.join(sorted(READ))}, GGUF, or no quantization)"
    )


def refuse_integer_weights(where: str, header: Mapping[str, Any]) -> None:
    """Raise ModelError if a file of a model that names no quantization holds a weight as integers.

    header  of a safetensors file: dtype and shape by tensor name
    """
    for name, entry in header.items():
        dtype = str(entry.get("dtype"))
        if name.endswith(".weight") and re.fullmatch(r"[IU]\d+", dtype):
            raise ModelError(
                f"model {where!r}: {name} holds integers ({dtype}), but config.json names no quantization "
                f"(allowed: {', '.join(sorted(READ))}, with a quantization_config)"
            )


def refuse_unused_parts(where: str, unused: Iterable[str], quantization: Quantization | None) -> tuple[str, ...]:
    """Return the tensors that a loaded model has no use for, sorted.

    ModelError if one of them is part of a quantized weight: the model would compute with codes, or without its scales.
    """
    names = sorted(map(str, unused))
    parts = [
        name for name in names if _QUANTIZED_PART.search(name.rpartition(".")[2]) and not _CACHE_SCALE.search(name)
    ]
    if parts:
        method = f"quant_method {quantization.format.method!r}" if quantization else "no quant_method"
        raise ModelError(
            f"model {where!r}: {len(parts)} tensors of quantized weights would be ignored, first {parts[0]} "
            f"(config.json has {method}; allowed: {', '.join(sorted(READ))}, GGUF, or no quantization)"
        )
    return tuple(names)


def unused_note(unused: tuple[str, ...]) -> str:
    """Return what to know about tensors that a loaded model has no use for; the empty text if there are none."""
    cache = [name for name in unused if _CACHE_SCALE.search(name)]
    others = [name for name in unused if name not in cache]
    notes = ["the scales of the KV cache are not used"] if cache else []
    notes += [f"{len(others)} tensors of the files are not used, first {others[0]}"] if others else []
    return "; ".join(notes)
