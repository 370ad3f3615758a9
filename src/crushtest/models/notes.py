"""What to know about a loaded model's numbers: how its weights were stored, and what a deployment rounds besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crushtest.models.checkpoint import Checkpoint
from crushtest.models.gguf_header import GgufHeader
from crushtest.models.quantization import Quantization

PLAIN_GGUF = ("F32", "F16", "BF16", "F64")


def weights_note(checkpoint: Checkpoint, network: Any) -> str:
    """Return one line about how the weights are stored and computed with; the empty text for plain ones."""
    if checkpoint.header:
        return gguf_note(checkpoint.header)
    if checkpoint.quantization is None:
        return ""
    method, settings = checkpoint.quantization.format.method, checkpoint.quantization.settings
    if method == "compressed-tensors":
        return _compressed_tensors_note(settings)
    if method == "bitsandbytes":
        eight = bool(settings.get("load_in_8bit"))
        return f"bitsandbytes {'LLM.int8() weights and activations' if eight else f'{_four_bits(settings)} weights'}"
    if method == "fp8":
        if getattr(network.config, "quantization_config", None) is not None:
            return "FP8 weights in blocks, computed in FP8 with activations rounded"
        return "FP8 weights in blocks, dequantized; activations are not rounded to FP8 as a deployment does"
    title = checkpoint.quantization.format.title
    return f"{title} weights of {settings.get('bits', settings.get('w_bit', 4))} bits, dequantized"


def method_text(checkpoint: Checkpoint) -> str:
    """Return how a checkpoint was compressed, as far as its files say, such as `AWQ, 4 bits`."""
    if checkpoint.header:
        return f"GGUF {checkpoint.header.weight_kind}"
    if checkpoint.quantization is None:
        return "not quantized"
    entry, settings = checkpoint.quantization.format, checkpoint.quantization.settings
    if entry.method == "bitsandbytes":
        return f"bitsandbytes {'LLM.int8()' if settings.get('load_in_8bit') else _four_bits(settings)}"
    if entry.method == "compressed-tensors":
        weights = [group["weights"] for group in _config_groups(settings) if group.get("weights")]
        return ", ".join(
            [f"{entry.title} {settings.get('format', '')}".strip(), *sorted(set(map(_precision, weights)))]
        )
    bits = settings.get("bits", settings.get("w_bit"))
    return f"{entry.title}, {bits} bits" if bits else entry.title


def gguf_note(header: GgufHeader) -> str:
    """Return the note of a GGUF file."""
    if header.weight_kind in PLAIN_GGUF:
        return f"GGUF {header.weight_kind} weights"
    also = "llama.cpp also rounds activations to 8 bits, which is not done here"
    return f"GGUF {header.weight_kind} weights, dequantized; {also}"


def _four_bits(settings: Mapping[str, Any]) -> str:
    return str(settings.get("bnb_4bit_quant_type", "fp4")).upper()


def _compressed_tensors_note(settings: Mapping[str, Any]) -> str:
    activations = [group["input_activations"] for group in _config_groups(settings) if group.get("input_activations")]
    rounded = sorted(set(map(_precision, activations)))
    parts = [f"quantized weights (compressed-tensors {settings.get('format', '')}".rstrip() + ")"]
    if _in_sixteen_bits(settings):
        parts.append("unpacked in bfloat16, to which they are rounded")
    if rounded:
        parts.append(f"activations rounded to {' and '.join(rounded)} in floating point (emulated)")
    if settings.get("kv_cache_scheme"):
        parts.append(f"the KV cache is not rounded to {_precision(settings['kv_cache_scheme'])} as a deployment does")
    return "; ".join(parts)


def rounds_weights_alone(quantization: Quantization | None) -> bool:
    """Return True for compressed-tensors without rounded activations."""
    if quantization is None or quantization.format.method != "compressed-tensors":
        return False
    groups = _config_groups(quantization.settings)
    return not any(group.get("input_activations") or group.get("output_activations") for group in groups)


def unpacks_in_sixteen_bits(quantization: Quantization | None) -> bool:
    """Return True for floats of less than 8 bits beside rounded activations: compressed-tensors unpacks in bfloat16."""
    if quantization is None or quantization.format.method != "compressed-tensors":
        return False
    return _in_sixteen_bits(quantization.settings)


def _in_sixteen_bits(settings: Mapping[str, Any]) -> bool:
    groups = _config_groups(settings)
    schemes = [group.get("weights") or {} for group in groups]
    rounds = any(group.get("input_activations") for group in groups)
    return rounds and any(scheme.get("type") == "float" and int(scheme.get("num_bits") or 8) < 8 for scheme in schemes)


def _config_groups(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [group for group in (settings.get("config_groups") or {}).values() if isinstance(group, Mapping)]


def _precision(scheme: Mapping[str, Any]) -> str:
    """Return how a scheme rounds, such as `FP8` or `INT8`."""
    return f"{'FP' if scheme.get('type') == 'float' else 'INT'}{scheme.get('num_bits')}"
