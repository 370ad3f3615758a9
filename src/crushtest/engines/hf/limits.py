"""What short lines do not show: up to which length a model can be run in any way, and what its layers do.

Some settings change what a network does from a length on, by the place of a token in the call instead of in its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crushtest.engines.hf.own_attention import attending_around
from crushtest.engines.hf.variants import Variant, variant_of
from crushtest.errors import EngineError
from crushtest.models.devices import input_device

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from crushtest.engines.hf.own_attention import Attention

# Rotary embeddings that change with the length of the text.
LENGTH_DEPENDENT = {"dynamic", "longrope"}
# Settings that say from how many tokens on a layer leaves tokens out, besides a window that it hands to its attention.
SPARSE_BEYOND = ("attention_chunk_size", "index_topk", "keep_window_size")
# What a network raises that cannot be run in one of the ways.
UNFIT = (EngineError, TypeError, ValueError, AttributeError, RuntimeError, LookupError)


def exact_until(config: PreTrainedConfig, variants: Sequence[Variant] | None) -> int | None:
    """Return up to how many tokens faster ways are exact: sparse attention and some positions limit them.

    A sliding window limits them unless every layer that slides hands it to its attention, where packs see it.
    """
    text = config.get_text_config()
    limits = [getattr(text, name, None) for name in SPARSE_BEYOND]
    if getattr(text, "attn_temperature_tuning", None):
        limits.append(getattr(text, "floor_scale", None))
    handed = sum(bool(variant.window) for variant in variants or ())
    if handed < max(_sliding_layers(text, len(variants or ())), 1):
        limits.append(getattr(text, "sliding_window", None))
    rope = getattr(text, "rope_parameters", None) or {}
    per_kind = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    limits += [
        one.get("original_max_position_embeddings") or text.max_position_embeddings
        for one in per_kind
        if one.get("rope_type") in LENGTH_DEPENDENT
    ]
    return min((int(limit) for limit in limits if limit), default=None)


def _sliding_layers(text: PreTrainedConfig, layers: int) -> int:
    """Return how many layers slide: those that the configuration says, and all of them if it does not say."""
    kinds = getattr(text, "layer_types", None)
    return layers if kinds is None else sum("sliding" in kind for kind in kinds)


def size_within(size: int, limit: int) -> int:
    """Return `size`, or how many tokens a call may hold at most if what it does depends on places in the call."""
    return min(size, max(limit - 1, 1))


def attention_variants(network: PreTrainedModel) -> list[Variant] | None:
    """Return what the layers ask of their attention; None if they do not use transformers' interface for it."""
    import torch

    asked: list[Variant] = []

    def watching(attention: Attention) -> Attention:
        def watched(*args: Any, **options: Any) -> Any:
            asked.append(variant_of(options.get("scaling"), options))
            return attention(*args, **options)

        return watched

    try:
        with torch.inference_mode(), attending_around(network, watching):
            network(input_ids=torch.zeros(1, 2, dtype=torch.long, device=input_device(network)), use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except UNFIT:
        return None
    return asked or None
