"""How much a token's keys and values take, worked out from the configuration, against the cache that a model fills."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from crushtest import load_engine
from crushtest.engines.kv_size import config_numbers, stored_bytes
from support import architectures
from support.tiny_models import loaded

HEADS = ("llama", "gpt2", "gpt_neox", "qwen3", "gemma2", "gemma3_text", "mixtral", "phi3", "opt", "olmo2", "qwen3_next")


def numbers_in_cache(network: Any, tokens: int = 3) -> int:
    """Count the numbers per token in the cache that a forward pass fills."""
    with torch.inference_mode():
        cache = network(input_ids=torch.full((1, tokens), 5), use_cache=True).past_key_values
    stored = [
        tensor for layer in cache.layers for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
    ]
    return sum(tensor.numel() for tensor in stored if tensor is not None) // tokens


@pytest.mark.parametrize("name", HEADS)
def test_the_numbers_of_a_configuration_are_those_of_a_filled_cache(name: str) -> None:
    network = architectures.build(name)
    assert config_numbers(network.config) == numbers_in_cache(network)


@pytest.mark.parametrize("name", ["deepseek_v3", "mamba"])
def test_a_model_without_heads_of_keys_and_values_has_no_number(name: str) -> None:
    assert config_numbers(architectures.build(name).config) is None


def test_layers_that_read_the_keys_of_others_count_nothing() -> None:
    text: Any = SimpleNamespace(num_hidden_layers=6, num_kv_shared_layers=2, num_attention_heads=4, head_dim=8)
    text.get_text_config = lambda: text
    assert config_numbers(text) == 4 * 2 * 4 * 8


def test_an_unknown_type_or_number_gives_no_fact() -> None:
    assert stored_bytes(None, 8) == stored_bytes(64, None) == {}
    assert stored_bytes(64, 8.5) == {"kv_bytes_per_token": 68}


@pytest.mark.parametrize(("kv", "bits"), [("none", 16), ("q8_0", 8.5), ("q4_0", 4.5), ("kivi4", 5), ("kivi2", 3)])
def test_hf_says_what_a_token_takes_in_its_cache(kv: str, bits: float) -> None:
    model = loaded(hidden_size=64, num_attention_heads=2, num_key_value_heads=2)
    described: dict[str, Any] = load_engine(model, kv=kv).describe()  # type: ignore[attr-defined]
    assert described["kv_bytes_per_token"] == numbers_in_cache(model.network) * bits / 8


@pytest.mark.parametrize(("kv", "times"), [("f32", 2), ("f16", 1)])
def test_llamacpp_counts_the_keys_and_values_of_its_twin(kv: str, times: int) -> None:
    library = pytest.importorskip("crushtest.engines.llamacpp.library")
    if not library.is_installed():
        pytest.skip("needs llama.cpp")
    from support.tiny_gguf import tiny_file

    path: Path = tiny_file()
    described: dict[str, Any] = load_engine(str(path), engine="llamacpp", kv=kv).describe()  # type: ignore[attr-defined]
    twin: dict[str, Any] = load_engine(loaded(template=True)).describe()  # type: ignore[attr-defined]
    assert described["kv_bytes_per_token"] == times * twin["kv_bytes_per_token"]
