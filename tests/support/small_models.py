"""Small decoders with random weights, of several architectures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "vocab_size": 99,
    "max_position_embeddings": 64,
}


class WordTokenizer:
    """A token a word, its number taken from the word's letters."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [sum(map(ord, word)) % 97 + 1 for word in text.split()]}

    def save_pretrained(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


TOKENIZER: Any = WordTokenizer()


def small_network(kind: str, seed: int = 0) -> Any:
    """A decoder of two blocks with random weights."""
    import transformers as t

    torch.manual_seed(seed)
    heads = {"num_attention_heads": 4}
    networks: dict[str, Callable[[], Any]] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SMALL, **heads, num_key_value_heads=2)),
        "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**SMALL, **heads, num_key_value_heads=2)),
        "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SMALL, **heads)),
        "opt": lambda: t.OPTForCausalLM(
            t.OPTConfig(hidden_size=32, ffn_dim=64, num_hidden_layers=2, vocab_size=99, word_embed_proj_dim=32, **heads)
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=99, n_positions=64)),
    }
    return networks[kind]().eval().requires_grad_(False)


def loaded(network: Any) -> Any:
    """What load_model would return, as far as compression looks at it."""
    return SimpleNamespace(network=network, tokenizer=TOKENIZER, spec="small", facts={})
