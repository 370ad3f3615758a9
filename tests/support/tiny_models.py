"""Models made in a test: random weights of several architectures, and a tokenizer trained on the spot."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from crushtest.models.load import LoadedModel

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "Context: Two neighbours met at the market. Question: Who was late? Answer: nobody can tell.",
    "Nine people were waiting at the station when the last train of the evening came in, half an hour late.",
    "She said that the river had risen in the night and that the bridge was closed until noon.",
]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 512}
GATED = SMALL | {"intermediate_size": 96, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": GATED,
    "qwen2": GATED,
    "qwen3": GATED | {"head_dim": 16},
    "mistral": GATED | {"sliding_window": None},
    "phi": SMALL | {"intermediate_size": 96},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 512},
    "gpt_neox": SMALL | {"intermediate_size": 96},
    "gemma3_text": GATED | {"head_dim": 16, "sliding_window": 64},
    "gemma2": GATED | {"head_dim": 16, "sliding_window": 64},
    "granite": GATED | {"logits_scaling": 4.0},
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
}


def tokenizer(*, template: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens; token 0 begins and token 1 ends a text, neither is added by itself."""
    made = PreTrainedTokenizerFast(tokenizer_object=_byte_pairs(), bos_token="<s>", eos_token="</s>")
    if template:
        made.chat_template = TEMPLATE
    return made


@cache
def _byte_pairs() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES, trainer)
    return inner


WORDS: list[int] = [token for sentence in SENTENCES for token in tokenizer()(sentence)["input_ids"]]
"""The sentences as tokens, in a row."""


def network(kind: str = "llama", seed: int = 0, **settings: Any) -> PreTrainedModel:
    """A network of that architecture with random weights, large enough that no two answers are alike."""
    torch.manual_seed(seed)
    shape = CONFIGS[kind] | {"vocab_size": len(tokenizer()), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = AutoConfig.for_model(kind, **(shape | settings))
    made = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.dim() == 2:
            parameter.mul_(6.0)
    return made


def loaded(kind: str = "llama", *, template: bool = False, seed: int = 0, **settings: Any) -> LoadedModel:
    """What `load_model` would return for such a network."""
    made = network(kind, seed, **settings)
    facts = {"kind": "tiny", "dtype": str(made.dtype).removeprefix("torch."), "device": "cpu"}
    return LoadedModel(made, tokenizer(template=template), f"tiny-{kind}", facts)


def run_plainly(engine: Any, writing: Any = "cached") -> None:
    """Let an `hf` engine run its model in padded batches and by transformers' own generation."""
    engine.model.paths = replace(engine.model.paths, scoring="batches", writing=writing)


def saved_model(folder: Path, **settings: Any) -> Path:
    """Save a small Llama with its tokenizer in a folder, and return that."""
    network(**settings).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
