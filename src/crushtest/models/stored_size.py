"""How a checkpoint is stored: its format, its bytes and its bits per weight, from the files' headers.

Counted as `crushtest compress` counts (`compress/record.py`): dense numbers at 16 bits, quantized weights with all that
is stored for them. So a model that is tested as found stands beside one that was compressed here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.checkpoint import Checkpoint, read_config, read_quantization, safetensors_header
from crushtest.models.find import ADDRESS, in_cache, local_checkpoint, model_kind
from crushtest.models.notes import PLAIN_GGUF, method_text
from crushtest.models.quantization import method_named, title_of

DENSE_BITS = 16
_FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTED = {"weight", "weight_scale", "qweight", "qzeros", "g_idx", "weight_packed", "weight_shape"}
"""Parts, by the last part of their names, whose codes are counted whoever wrote them."""


@dataclass(frozen=True)
class StoredWeight:
    """One weight: how many numbers it has and the bytes that stand for them, scales included."""

    numbers: int
    size_bytes: int
    quantized: bool


def stored_facts(spec: str) -> dict[str, Any]:
    """Return how a model is stored, for the manifest: `method` and `totals`; nothing if its files are not here.

    Also of a model that is not read here: another program may run it.
    """
    try:
        kind = model_kind(spec)
        found = (
            in_cache(spec, unread=True)
            if kind in ("hub", ADDRESS)
            else local_checkpoint(spec, kind, allow_pickle=False, unread=True)
        )
        if found is None:
            return {}
        if found.header:
            return {"method": method_text(found), "totals": totals(found)}
        config = read_config(found.folder)
    except ModelError:  # served, pickled, or the demo: what cannot be loaded is refused elsewhere
        return {}
    try:
        checkpoint = replace(found, quantization=read_quantization(found.folder))
        return {"method": method_text(checkpoint), "totals": totals(checkpoint)}
    except ModelError:
        method = method_named(config)
        return {"method": title_of("modelopt" if method is None else method), "totals": _unread_totals(found)}


def totals(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return sizes under the names of `compress.record.Totals`, but for what only the weights' values tell.

    `weights_size_bytes` is the size of the files. `layers`, `linear_weights`, `bits_per_weight`, `dense_size_bytes`,
    `compressed_size_bytes` and `compression_ratio` are of the quantized weights, and missing if there are none.
    """
    weights = list(_stored_weights(checkpoint))
    numbers, quantized = sum(weight.numbers for weight in weights), [weight for weight in weights if weight.quantized]
    inside, stored = sum(weight.numbers for weight in quantized), sum(weight.size_bytes for weight in quantized)
    sizes: dict[str, Any] = {
        "dense_model_size_bytes": _dense(numbers),
        "compressed_model_size_bytes": _dense(numbers - inside) + stored,
        "weights_size_bytes": sum(path.stat().st_size for path in checkpoint.weights),
    }
    if not quantized:
        return sizes
    return sizes | {
        "layers": len(quantized),
        "linear_weights": inside,
        "bits_per_weight": stored * 8 / inside,
        "dense_size_bytes": _dense(inside),
        "compressed_size_bytes": stored,
        "compression_ratio": 1 - stored * 8 / (inside * DENSE_BITS),
    }


def _unread_totals(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the sizes of a format that is not read; that of its files alone if it stores weights its own way."""
    stored = {
        part
        for parts in _by_layer(checkpoint.weights).values()
        for part, entry in parts.items()
        if entry["dtype"] not in _FLOATS
    }
    if stored <= _COUNTED:
        return totals(checkpoint)
    return {"weights_size_bytes": sum(path.stat().st_size for path in checkpoint.weights)}


def _dense(numbers: int) -> int:
    return numbers * DENSE_BITS // 8


def _stored_weights(checkpoint: Checkpoint) -> Iterator[StoredWeight]:
    if checkpoint.header:
        for tensor in checkpoint.header.tensors:
            yield StoredWeight(tensor.elements, tensor.size_bytes, tensor.kind not in PLAIN_GGUF)
        return
    settings = checkpoint.quantization.settings if checkpoint.quantization else {}
    for layer, parts in _by_layer(checkpoint.weights).items():
        bias = parts.pop("bias", None)
        if bias:
            yield StoredWeight(_elements(bias), _size(bias), quantized=False)
        if _is_quantized(parts):
            yield StoredWeight(_numbers(layer, parts, settings), sum(map(_size, parts.values())), quantized=True)
        else:
            yield from (StoredWeight(_elements(part), _size(part), quantized=False) for part in parts.values())


def _by_layer(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the headers' entries by layer and part; that of compressed-tensors' `weight_shape` with its `values`.

    Also a part of a part (bitsandbytes' `weight.absmax`) belongs to the layer.
    """
    from safetensors import safe_open

    layers: dict[str, dict[str, Any]] = defaultdict(dict)
    for path in files:
        with safe_open(path, framework="np") as opened:
            for name, entry in safetensors_header(path).items():
                layer, weight, rest = name.partition(".weight.")
                layer, part = (
                    (layer, f"weight.{rest}") if weight else (name.rpartition(".")[0], name.rpartition(".")[2])
                )
                values = {"values": opened.get_tensor(name).tolist()} if part == "weight_shape" else {}
                layers[layer][part] = entry | values
    return layers


def _is_quantized(parts: Mapping[str, Any]) -> bool:
    weight = parts.get("weight")
    return "qweight" in parts or "weight_packed" in parts or (weight is not None and weight["dtype"] not in _FLOATS)


def _numbers(layer: str, parts: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Return how many weights a quantized layer has."""
    if "qweight" in parts:
        bits = int(parts["qzeros"]["shape"][-1]) * 32 // int(parts["scales"]["shape"][-1])
        return _elements(parts["qweight"]) * 32 // bits
    if "weight_packed" in parts:
        shape = parts.get("weight_shape", {}).get("values")
        return (
            math.prod(map(int, shape)) if shape else _elements(parts["weight_packed"]) * 2
        )  # NVFP4: two codes in a byte
    weight = parts["weight"]
    if weight["dtype"] == "U32":  # MLX
        override = settings.get(layer)
        return _elements(weight) * 32 // int((override if isinstance(override, Mapping) else settings)["bits"])
    return _elements(weight) * (2 if weight["dtype"] == "U8" else 1)  # bitsandbytes keeps two codes in a byte


def _elements(entry: Mapping[str, Any]) -> int:
    return math.prod(entry["shape"])


def _size(entry: Mapping[str, Any]) -> int:
    begin, end = entry["data_offsets"]
    return int(end) - int(begin)
