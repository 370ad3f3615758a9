"""GGUF files made in a test: the weights and the tokenizer of a tiny transformers model, as llama.cpp reads them."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from crushtest.models.load import LoadedModel
from support.tiny_models import TEMPLATE, loaded

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # gguf.TokenType


@cache
def tiny_file() -> Path:
    """Return a file with a chat template, written once per process."""
    folder = Path(tempfile.mkdtemp(prefix="crushtest-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_gguf(folder / "tiny.gguf", template=True)


def write_gguf(
    path: Path,
    model: LoadedModel | None = None,
    *,
    template: bool | str = False,
    add_bos: bool = False,
    add: Callable[[gguf.GGUFWriter], None] | None = None,
    sentence_piece: bool = False,
) -> Path:
    """Write a tiny llama model in float32; the same numbers as its transformers twin.

    add             adds what else the file says and holds
    sentence_piece  gives it a vocabulary of SentencePiece's kind in the place of the model's own
    """
    model = model or loaded()
    config: Any = model.network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if sentence_piece:
        _add_sentence_piece(writer, config.vocab_size)
    else:
        _add_tokenizer(writer, model, template, add_bos)
    for name, weight in model.network.state_dict().items():
        values = weight.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = _interleave(values, config.head_dim)
        writer.add_tensor(_tensor_name(name), np.ascontiguousarray(values))
    if add:
        add(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, model: LoadedModel, template: bool | str, add_bos: bool) -> None:
    inner = json.loads(model.tokenizer._tokenizer.to_str())["model"]  # type: ignore[attr-defined]
    tokens = sorted(inner["vocab"], key=inner["vocab"].get)
    tokens += [f"<unused{index}>" for index in range(len(tokens), model.network.config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in ("<s>", "</s>") else NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in inner["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(add_bos)
    if template:
        writer.add_chat_template(TEMPLATE if template is True else template)


def _add_sentence_piece(writer: gguf.GGUFWriter, size: int) -> None:
    pieces = ["▁", "▁the", "▁a", "▁cat", "▁dog", "th", "he", "the", "in", "▁in", "an", "er", "▁t", "▁c"]
    pieces += ["ca", "at", "do", "og", "▁d", "19", "95", "▁▁", "▁▁▁", "12"]
    pieces += list("abcdefghijklmnopqrstuvwxyzABCDEFGHI0123456789.,!?\né")
    pieces += [f"<unused{index}>" for index in range(size - 259 - len(pieces))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces])
    writer.add_token_types([UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)])
    writer.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(len(pieces))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _interleave(weight: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Put the two halves that a head rotates together side by side, as llama.cpp has them."""
    rows, columns = weight.shape
    return weight.reshape(rows // size, 2, size // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _tensor_name(name: str) -> str:
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    stem = name.removesuffix(".weight")
    if stem in names:
        return f"{names[stem]}.weight"
    _, _, block, part = stem.split(".", 3)
    return f"blk.{block}.{parts[part]}.weight"
