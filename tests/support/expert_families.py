"""Every mixture-of-experts decoder that transformers builds from a config, small and with random weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

EXPERTS, SMALL_EXPERTS = 4, 32
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "vocab_size": 99,
    "unpadded_vocab_size": 99,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), EXPERTS),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(
        (
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "shared_intermediate_size",
            "expert_ffn_hidden_size",
        ),
        SMALL_EXPERTS,
    ),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "n_group", "topk_group"), 1),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_head_dim"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "kv_channels"), 8),
    **dict.fromkeys(("mamba_d_state", "mamba_n_heads", "mamba_d_head", "mamba_head_dim", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "expert_layer_period"), 1),
    **dict.fromkeys(("mamba_d_conv", "mamba_num_heads", "mamba_dt_rank"), 4),
    **dict.fromkeys(("mamba_expand", "attn_layer_period", "linear_num_key_heads"), 2),
    **dict.fromkeys(("attn_layer_offset", "expert_layer_offset", "moe_layer_start_index"), 0),
    "mamba_chunk_size": 16,
    "intermediate_size_mlp": 64,
    "ffn_hidden_size": 64,
    "linear_num_value_heads": 4,
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "hybrid_override_pattern": "M*E",
}
OWN: dict[str, dict[str, Any]] = {
    "dbrx": {
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": EXPERTS, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
    },
    "lfm2_moe": {"layer_types": ["full_attention", "conv"], "num_dense_layers": 0},
    "longcat_flash": {"num_layers": 2, "zero_expert_num": 2, "moe_topk": 2, "head_dim": 8},
    "dots3_note_text": {"num_attention_heads": 4},
    "beam": {"mlp_layer_types": ["dense", "sparse"]},
    "doge": {"is_moe": True},
    "flint": {"mlp_only_layers": [0]},
    "inkling_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8},
    "inkling2_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8},
    "inkling2_loop_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8},
    "kimi_linear": {"linear_head_dim": 8, "linear_num_heads": 4},
    "zaya": {"num_experts_per_tok": 1},
    "gemma4_text": {"enable_moe_block": True, "layer_types": ["full_attention", "full_attention"]},
}
# Not decoders of their own, or not to be built with few layers.
NOT_BUILT = {"gemma4_assistant"}
MARKS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "ffn_config")


@cache
def families() -> list[str]:
    """Return the types of models whose default config has routed experts."""
    plain = {kind: CONFIG_MAPPING[kind]() for kind in sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES} - NOT_BUILT)}
    return [kind for kind, config in plain.items() if any(hasattr(config, m) for m in MARKS)]


def small_config(kind: str, **settings: Any) -> Any:
    """Return a config of that type with every size that it has made small."""
    base = CONFIG_MAPPING[kind]()
    own = {name: value for name, value in SIZES.items() if _has(base, name)}
    if "qk_rope_head_dim" in own:  # latent attention: as many keys as queries, and rotary heads of that size alone
        own.pop("head_dim", None)
        own["num_key_value_heads"] = SIZES["num_attention_heads"]
    own |= OWN.get(kind, {})
    return CONFIG_MAPPING[kind](**(own | settings))


def expert_network(kind: str, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """Return a network of that type with random weights, none of them 0 as a whole."""
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_config(small_config(kind, **settings)).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() >= 2:
            parameter.normal_(std=0.2)
        elif not parameter.isfinite().all() or not parameter.any():
            parameter.normal_(std=0.02)
    return network


def _has(config: Any, name: str) -> bool:
    if isinstance(getattr(type(config), name, None), property):
        return False
    try:
        return hasattr(config, name)
    except Exception:  # it differs from layer to layer, which raises an error of transformers' own
        return False
