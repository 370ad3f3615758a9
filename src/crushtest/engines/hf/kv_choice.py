"""The cache that the option `kv` names, and which models can be read through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from crushtest.engines.hf.kivi import Kivi
from crushtest.engines.hf.kv_cache import PAIRED, STORED, BlockCache, check_head_size
from crushtest.engines.hf.own_attention import attending_around
from crushtest.engines.kv_size import ATTENTION_LAYERS
from crushtest.errors import EngineError
from crushtest.models.devices import input_device

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

    from crushtest.engines.hf.own_attention import Attention

KvCache: TypeAlias = BlockCache | Kivi
BITS = {"none": 16, "q8_0": 8.5, "q4_0": 4.5, "kivi4": 5, "kivi2": 3}
"""Bits per stored value, with the scales of its block. What is not rounded counts at 16 bits, as weights do."""


def kv_cache(name: str, network: PreTrainedModel) -> KvCache | None:
    """Return the cache of this name; None for `none`. EngineError if the network's attention cannot read from it."""
    if name == "none":
        return None
    check_config(name, network.config)
    refuse_unless_read(name, network)
    if name in STORED:
        return BlockCache(name, STORED[name], network.config.get_text_config().model_type in PAIRED)
    return Kivi(name, int(name.removeprefix("kivi")))


def check_config(name: str, config: PreTrainedConfig) -> None:
    """Raise EngineError if a configuration says already that the model has no heads of whole blocks."""
    text: Any = config.get_text_config()
    if getattr(text, "kv_lora_rank", None):
        raise EngineError(f"kv={name}: this model caches a projection of keys and values, not heads of them")
    heads = getattr(text, "num_attention_heads", None)
    if heads:
        check_head_size(name, getattr(text, "head_dim", None) or text.hidden_size // heads)


def refuse_unless_read(name: str, network: PreTrainedModel) -> None:
    """Raise EngineError unless every attention layer goes through transformers' interface, in heads of whole blocks."""
    import torch

    config: Any = network.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    layers, calls = sum(kind in ATTENTION_LAYERS for kind in kinds), 0

    def counting(attention: Attention) -> Attention:
        def counted(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            check_head_size(name, key.shape[-1])
            check_head_size(name, value.shape[-1])
            return attention(module, query, key, value, *args, **options)

        return counted

    try:
        with torch.inference_mode(), attending_around(network, counting):
            network(input_ids=torch.zeros(1, 2, dtype=torch.long, device=input_device(network)), use_cache=False)
    except (AttributeError, KeyError, TypeError, ValueError):
        calls = 0
    if not layers or calls != layers:
        raise EngineError(
            f"kv={name}: attention cannot be replaced in this model ({config.model_type}); "
            f"{calls} of {len(kinds)} layers go through transformers' attention interface"
        )
