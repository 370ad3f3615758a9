"""Every family of causal language models that transformers builds from a small configuration, and variants of some."""

from __future__ import annotations

import copy
import csv
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from crushtest import load_engine
from crushtest.engines.generation import Text
from crushtest.engines.packing import Line
from crushtest.errors import EngineError
from crushtest.models.load import LoadedModel
from crushtest.records import Sampling
from support.method_trials import Trial, recipes, tried
from support.tiny_models import WORDS, tokenizer

if TYPE_CHECKING:
    from crushtest.engines.hf.model import HfModel

EVIDENCE = Path(__file__).parents[2] / "docs" / "architectures.csv"
# Values that make a model small, for whichever of these settings its configuration has.
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size"), 64),
    **dict.fromkeys(
        ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "dff", "decoder_ffn_dim", "encoder_ffn_dim"), 96
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 512),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank"), 32),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "head_dim", "swa_head_dim"), 16),
    "encoder_layers": 1,
    "encoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "rotary_dim": 16,
    "n_shared_experts": 1,
    "is_decoder": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
# What else a family's configuration needs to be small, or to hold every kind of its layers.
MORE: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"num_hidden_layers": 6},
    "bamba": {
        "mamba_chunk_size": 16,
        "attn_layer_indices": [1],
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
        "mamba_d_state": 16,
    },
    "cpmant": {"dim_head": 16, "dim_ff": 96},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"moe_num_experts": 4, "moe_top_k": 2, "ffn_hidden_size": 96},
    },
    "dots3_note": {"num_key_value_heads": 4},
    "dots3_note_text": {"num_key_value_heads": 4},
    "gemma3n_text": {
        "num_hidden_layers": 6,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 400,
        "activation_sparsity_pattern": [0.0] * 6,
    },
    "gemma4_text": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 400, "sliding_window": 64},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 64},
    "granitemoehybrid": {"mamba_chunk_size": 16, "layer_types": ["mamba", "attention", "mamba", "attention"]},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2},
    "deepseek_v32": {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 32},
    "falcon_h1": {"mamba_chunk_size": 16},
    "inkling2_loop_text": {"unpadded_vocab_size": 400},
    "inkling2_text": {"unpadded_vocab_size": 400},
    "kimi_linear": {"linear_head_dim": 16, "qk_head_dim": 32},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"]},
    "longcat_flash": {"zero_expert_num": 2, "moe_topk": 2},
    "mamba2": {"chunk_size": 16, "num_heads": 8, "head_dim": 16},
    "nemotron_h": {"chunk_size": 16, "mamba_num_heads": 8, "mamba_head_dim": 16},
    "phi4_multimodal": {},
    "plbart": {"decoder_attention_heads": 4, "encoder_attention_heads": 4, "encoder_layers": 1},
    "recurrent_gemma": {"lru_width": 64},
    "roc_bert": {
        "pronunciation_embed_dim": 16,
        "pronunciation_vocab_size": 50,
        "shape_embed_dim": 16,
        "shape_vocab_size": 50,
    },
    "whisper": {"decoder_attention_heads": 4, "encoder_layers": 1, "encoder_attention_heads": 4},
    "reformer": {"axial_pos_embds_dim": [16, 48], "axial_pos_shape": [16, 32]},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"layer_types": ["mamba", "hybrid", "mamba", "hybrid"], "mamba_headdim": 16, "n_mamba_heads": 8},
    "zaya": {"num_experts_per_tok": 1},
}
# What weights of two dimensions are multiplied by; more than this, and rounding alone is visible in some families.
SCALE = 6.0
SMALLER_SCALE = {"mamba": 3.0, "minicpm3": 3.0, "youtu": 3.0}
# Settings of a family that change what a forward pass does, as published models have them.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama dynamic": (
        "llama",
        {
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
            "max_position_embeddings": 64,
        },
    ),
    "phi3 longrope": (
        "phi3",
        {
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0 + i / 8 for i in range(8)],
                "long_factor": [2.0 + i for i in range(8)],
                "original_max_position_embeddings": 64,
            },
            "original_max_position_embeddings": 64,
        },
    ),
    "llama yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "rope_theta": 10000.0,
                "original_max_position_embeddings": 128,
            }
        },
    ),
    "falcon alibi": ("falcon", {"alibi": True, "new_decoder_architecture": False, "multi_query": False}),
    "falcon new": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "opt projected": ("opt", {"word_embed_proj_dim": 32}),
    "mistral window": ("mistral", {"sliding_window": 16}),
    "gemma2 capped": ("gemma2", {"sliding_window": 16, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0}),
    "gemma3 capped": (
        "gemma3_text",
        {"sliding_window": 16, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0},
    ),
    "granite scaled": (
        "granite",
        {"logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1},
    ),
    "doge sparse": ("doge", {"keep_window_size": 16}),
    "big_bird full": ("big_bird", {"attention_type": "original_full"}),
    "llama4 floor": ("llama4_text", {"floor_scale": 64, "attn_scale": 0.9, "no_rope_layers": [1, 0, 1, 0]}),
    "llama4 chunked": ("llama4_text", {"attention_chunk_size": 16}),
    "qwen3_next linear": ("qwen3_next", {"num_hidden_layers": 3}),
    "falcon alibi new": ("falcon", {"alibi": True, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon alibi shared": ("falcon", {"alibi": True, "multi_query": True}),
    "mpt short": ("mpt", {"max_seq_len": 128}),
    "cohere scaled": ("cohere", {"logit_scale": 0.25}),
}


class Tiny(NamedTuple):
    """A family or a variant of one."""

    family: str
    settings: dict[str, Any]


def every() -> dict[str, Tiny]:
    """Return all families that transformers names, and the variants."""
    families = {kind: Tiny(kind, {}) for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    return families | {name: Tiny(*variant) for name, variant in VARIANTS.items()}


@cache
def build(name: str) -> PreTrainedModel:
    """Return a network with random weights, large enough that no two answers are alike. Raises what transformers does.

    ValueError for a configuration that stays large.
    """
    tiny = every()[name]
    base = AutoConfig.for_model(tiny.family)
    text = base.get_text_config(decoder=True)
    names = {*vars(text), *getattr(text, "attribute_map", {})}
    if type(base) is type(text):  # of an encoder and a decoder, whose settings have other names there
        names |= {*vars(base)}
    shape = {"vocab_size": len(tokenizer()), **SMALL}
    config = type(text)(
        **{setting: value for setting, value in shape.items() if setting in names}
        | ({"num_key_value_heads": 4} if "kv_lora_rank" in names else {})
        | MORE.get(text.model_type, {})
        | tiny.settings
    )
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    if parameters > 4e7:
        raise ValueError(f"{parameters / 1e6:.0f} million parameters, which is not small")
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.dim() == 2:
            parameter.mul_(SMALLER_SCALE.get(tiny.family, SCALE))
    return made


def loaded(name: str) -> LoadedModel:
    """Return what `load_model` would."""
    made = copy.deepcopy(build(name))
    return LoadedModel(made, tokenizer(), name, {"kind": "tiny", "dtype": "float32", "device": "cpu"})


def forward(name: str, tokens: list[int]) -> torch.Tensor:
    """Return the logits [tokens, vocabulary] of one line alone, from a network that has read nothing else."""
    with torch.inference_mode():
        logits: torch.Tensor = copy.deepcopy(build(name))(input_ids=torch.tensor([tokens]), use_cache=False).logits
    return logits[0].double()


def logprob(name: str, tokens: list[int], start: int) -> float:
    """Return the log-likelihood in nats of the tokens from `start` on."""
    logits = forward(name, tokens[:-1])
    return float(logits.log_softmax(-1)[torch.arange(start - 1, len(tokens) - 1), tokens[start:]].sum())


def greedy(name: str, tokens: list[int], count: int) -> list[int]:
    """Return the next tokens: each the likeliest of a forward pass over all before it, without a cache."""
    written = list(tokens)
    while len(written) < len(tokens) + count:
        written.append(int(forward(name, written)[-1].argmax()))
        if written[-1] == 1:
            break
    return written[len(tokens) :]


LINES = [
    *(
        (context[:end] + option, end)
        for context in (WORDS[:20], WORDS[40:60])
        for end in (5, 11, 17)
        for option in ([7, 8], [9, 10, 11], [12, 13, 14, 15, 16])
    ),
    (WORDS[:90], 1),
    (WORDS[20:70], 1),
]
PROMPTS = [*(line[:end] for line in (WORDS[:20], WORDS[40:60]) for end in (4, 9, 20)), WORDS[:80]]
WRITTEN = 10


class Evidence(NamedTuple):
    """What a family or variant was seen to do; the fields are text, as a table holds them.

    scoring, generation  the way; `refused` if loading the engine is, `none` if transformers makes no small model
    why                  why no faster way is taken, why it is refused, or why there is no model
    nats                 largest difference of a line's log-likelihood from a forward pass of the line alone
    texts                completions that differ from a greedy loop of forward passes without a cache, of how many
    methods              the compression methods that ran: `all`, `none`, or their names
    refused              the others, each with the reason
    saved                largest difference of a token's log-likelihood between compressed models and what they were
                         saved as
    """

    name: str
    scoring: str
    generation: str
    why: str
    nats: str
    texts: str
    methods: str = ""
    refused: str = ""
    saved: str = ""


def measure(name: str) -> Evidence:
    """Run a family in the `hf` engine and beside it by its own forward pass."""
    try:
        build(name)
        forward(name, WORDS[:9])
    except Exception as error:  # whatever transformers raises for a model that it cannot make small
        return Evidence(name, "none", "none", short(str(error) or type(error).__name__), "", "")
    try:
        model: HfModel = load_engine(loaded(name), pack_tokens=64).model  # type: ignore[attr-defined]
    except EngineError as error:
        return Evidence(name, "refused", "refused", short(str(error)), "", "")
    scores = dict(model.score([[Line(tokens, start)] for tokens, start in LINES], ()))
    nats = max(abs(scores[index][0] - logprob(name, *line)) for index, line in enumerate(LINES))
    texts = [Text(index, np.zeros(WRITTEN)) for index in range(len(PROMPTS))]
    written = dict(model.continue_batch(PROMPTS, texts, Sampling(max_tokens=WRITTEN)))
    expected = [[token for token in greedy(name, prompt, WRITTEN) if token != 1] for prompt in PROMPTS]
    differ = sum(
        written[index].text != tokenizer().decode(tokens, skip_special_tokens=True)
        for index, tokens in enumerate(expected)
    )
    paths = model.paths
    limit = "" if paths.limit is None else f"longer than {paths.limit}: alone and anew"
    why = "; ".join(dict.fromkeys(filter(None, (paths.slow_scoring, paths.slow_writing, limit))))
    return Evidence(name, paths.scoring, paths.writing, short(why), f"{nats:.0e}", f"{differ} of {len(PROMPTS)}")


def measure_methods(name: str, *, scored: bool) -> dict[str, str]:
    """Compress a family by every method; return the columns of its row that say what came of it.

    scored  whether the engine takes the dense model, so that it must take a compressed one
    """
    return columns(tried(lambda: loaded(name), scored=scored))


def columns(trials: Iterable[Trial]) -> dict[str, str]:
    """Return what trials of all methods on one network say in its row."""
    refused = {trial.method: short(trial.refused, 400) for trial in trials if trial.refused}
    ran = [name for name in recipes() if name not in refused]
    saved = [trial.differs for trial in trials if trial.differs is not None]
    return {
        "methods": "all" if not refused else " ".join(ran) or "none",
        "refused": " | ".join(f"{method}: {reason}" for method, reason in refused.items()),
        "saved": f"{max(saved):.0e}" if saved else "",
    }


def short(text: str, length: int = 160) -> str:
    """Return the first line of a text, cut, without what differs from run to run."""
    line = re.sub(r"'[^']*/saved'", "'saved'", " ".join(text.split()))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def stored() -> dict[str, Evidence]:
    """Return the evidence that the table in the docs was made from."""
    with EVIDENCE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: Evidence(**row) for row in csv.DictReader(file)}


def store(rows: Iterable[Evidence]) -> None:
    """Replace the evidence."""
    with EVIDENCE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Evidence._fields)
        writer.writerows(rows)
