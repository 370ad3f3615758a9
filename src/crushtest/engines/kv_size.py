"""How many bytes a token's keys and values take when they are stored."""

from __future__ import annotations

from typing import Any

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Layers whose outputs depend on nothing but the ancestors' keys and values, at most within a window."""


def stored_bytes(numbers: int | None, bits: float | None) -> dict[str, int]:
    """Return the fact that the manifest holds of so many numbers per token; none if either is unknown."""
    return {} if numbers is None or bits is None else {"kv_bytes_per_token": round(numbers * bits / 8)}


def config_numbers(config: Any) -> int | None:
    """Return the numbers per token of the layers of a transformers configuration: layers x 2 x key heads x their size.

    None if the model keeps no heads of keys and values, or a projection of them (DeepSeek's MLA). Layers that read
    the keys and values of another one, and layers without attention, count nothing.
    """
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    settings = getattr(text, "per_layer_config", None) or [text] * len(kinds)
    own = len(kinds) - (getattr(text, "num_kv_shared_layers", None) or 0)
    pairs = list(zip(kinds, settings, strict=True))[:own]
    counted = [_layer_numbers(layer) for kind, layer in pairs if kind in ATTENTION_LAYERS]
    return None if not counted or None in counted else sum(filter(None, counted))


def _layer_numbers(config: Any) -> int | None:
    heads = getattr(config, "num_attention_heads", None)
    if not heads or getattr(config, "kv_lora_rank", None):
        return None
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * (getattr(config, "num_key_value_heads", None) or heads) * size)
