"""Whether the model that transformers builds from a GGUF file computes what the file says.

transformers reads some metadata of each architecture, leaves the others out and fills in defaults; it drops tensors
that its model has no place for. So everything that a file says is compared with the model that was built, and what
cannot be compared is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.gguf_header import GgufHeader
from crushtest.models.gguf_rope import rope_of

TOLD_BY_SHAPES = (
    "block_count",
    "context_length",
    "decoder_block_count",
    "embedding_length",
    "expert_count",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "feed_forward_length",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.time_step_rank",
    "tensor_data_layout",
    "vocab_size",
)
"""Settings that no other weights would fit, or that change no number."""
OWN_ATTENTION_SCALE = {"gemma2": 46, "gemma3": 62}
"""Architectures of which the file with so many blocks scales attention otherwise, and no file says so."""


def read_gguf_config(path: Path, header: GgufHeader, *, trust_remote_code: bool) -> Any:
    """Return a GGUF file's configuration, with the rope that transformers leaves out.

    ModelError for what it misreads.
    """
    from transformers import AutoConfig

    rope = rope_of(path, header)
    config: Any = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=trust_remote_code)
    own = getattr(config, "rope_parameters", None) or {}
    if "rope_theta" in own:  # else a rope per kind of layer, or none
        config.rope_parameters = own | rope
    elif "rope_type" in rope:
        raise _refusal(path, f"a scaled rope ({rope['rope_type']}), which is not read for its architecture")
    refuse_other_settings(path, header, config)
    return config


def refuse_other_settings(path: Path, header: GgufHeader, config: Any) -> None:
    """Raise ModelError if the model of this configuration is not the one that a file's metadata describe."""
    for key, value in header.settings.items():
        if key in TOLD_BY_SHAPES or key.startswith("rope.scaling."):  # gguf_rope reads or refuses those
            continue
        built = _COMPARED[key](config) if key in _COMPARED else None
        if built is None and _changes_nothing(key, value):
            continue
        if not _equal(value, built):
            how = f"as {built}" if built is not None else "not at all"
            raise _refusal(path, f"{header.architecture}.{key} = {value}, which transformers reads {how}")
    if header.settings.get("block_count") == OWN_ATTENTION_SCALE.get(header.architecture, 0):
        raise _refusal(path, "a size of its architecture that scales attention otherwise, which transformers does not")


def refuse_unread_tensors(path: Path, header: GgufHeader, network: Any) -> None:
    """Raise ModelError if a file holds tensors that transformers left out."""
    from transformers import modeling_gguf_pytorch_utils as theirs

    make: Any = theirs.TENSOR_PROCESSORS.get(header.architecture, theirs.TensorProcessor)
    places: Mapping[str, str] = theirs.get_gguf_hf_weights_map(network, make())
    unread = [
        tensor.name
        for tensor in header.tensors
        if not {tensor.name, tensor.name.removesuffix(".weight")} & places.keys()
        and tensor.name not in ("output.weight", "rope_freqs.weight")  # kept under another name; see gguf_rope
    ]
    if unread:
        raise _refusal(path, f"{len(unread)} tensors that transformers leaves out, first {unread[0]}")


def _refusal(path: Path, what: str) -> ModelError:
    return ModelError(f"model file {str(path)!r} has {what}; engine 'llamacpp' runs the file")


def _attribute(*names: str) -> Callable[[Any], Any]:
    """Return a function that gives the first of these attributes of a configuration that is set."""
    return lambda config: next((getattr(config, n) for n in names if getattr(config, n, None) is not None), None)


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _rope(config: Any, layers: str) -> Mapping[str, Any]:
    """Return a configuration's rope; in one that has a rope per kind of layer, that of these layers."""
    rope: Mapping[str, Any] = getattr(config, "rope_parameters", None) or {}
    own: Mapping[str, Any] = rope.get(layers, rope)
    return own


def _turned(config: Any) -> int:
    """Return how many numbers of a head rope turns."""
    share = _rope(config, "full_attention").get("partial_rotary_factor", 1.0)
    return int(_head_size(config) * share)


def _changes_nothing(key: str, value: Any) -> bool:
    """Return True for a setting that is switched off."""
    return value in (0, False) and key not in ("attention.causal", "use_parallel_residual")


def _equal(value: Any, built: Any) -> bool:
    if isinstance(value, list):  # one per layer; 0 for layers without attention
        return all(_equal(one, built) for one in value if one)
    if isinstance(value, (int, float)) and isinstance(built, (int, float)):
        return math.isclose(value, built, rel_tol=1e-5)
    return bool(value == built)


_COMPARED: Mapping[str, Callable[[Any], Any]] = {
    "attention.causal": lambda config: True,
    "attention.head_count": _attribute("num_attention_heads"),
    "attention.head_count_kv": _attribute("num_key_value_heads", "num_attention_heads"),
    "attention.key_length": _head_size,
    "attention.value_length": _head_size,
    "attention.layer_norm_epsilon": _attribute("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "attention.layer_norm_rms_epsilon": _attribute("norm_eps", "rms_norm_eps", "layer_norm_epsilon"),
    "attention.sliding_window": _attribute("sliding_window"),
    "attn_logit_softcapping": _attribute("attn_logit_softcapping"),
    "final_logit_softcapping": _attribute("final_logit_softcapping"),
    "expert_used_count": _attribute("num_experts_per_tok"),
    "expert_weights_norm": _attribute("norm_topk_prob"),
    "rope.dimension_count": _turned,
    "rope.freq_base": lambda config: _rope(config, "full_attention").get("rope_theta"),
    "rope.freq_base_swa": lambda config: _rope(config, "sliding_attention").get("rope_theta"),
    "use_parallel_residual": _attribute("use_parallel_residual", "parallel_attn"),
}
