"""What is refused before any weight is loaded, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import SMALL, loaded, small_network
from transformers import GPT2Config, LlamaConfig, T5Config, T5ForConditionalGeneration

from crushtest.compress import check
from crushtest.errors import CrushtestError, ModelError, UsageError
from crushtest.recipes import parse_recipe

DEMO_SHAPES = LlamaConfig(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=1, num_attention_heads=9, vocab_size=9
)


def complaint(recipe: str, model: Any) -> str | None:
    """What is said against a recipe for a model; None where it passes."""
    try:
        check(parse_recipe(recipe), model)
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (
            "gptq:bits=4",
            "model.layers.0.self_attn.q_proj: group_size=128 does not divide 576 input features (these do: 32, 64",
        ),
        ("rtn:group_size=100", "group_size=100 does not divide 576"),
        ("wanda:pattern=5:7", "pattern 5:7 needs a number of input features divisible by 7 (got 576)"),
        ("wanda:sparsity=0", "sparsity=0 asks for nothing"),
        ("wanda:sparsity=0.3,pattern=2:4", "sparsity=0.3 contradicts pattern=2:4"),
        ("wanda:sparsity=0.5,pattern=1:4", "sparsity=0.5 contradicts pattern=1:4, which is a sparsity of 0.75"),
        ("sparsegpt:pattern=2:4,block_size=6", "block_size=6 must be a multiple of 4"),
        ("magnitude:pattern=2:4,scope=global", "scope=global has no meaning with a pattern"),
        ("wanda:layers=q_porj", "unknown layer 'q_porj'; did you mean 'q_proj'?"),
        ("wanda:layers=q_proj,skip=q_proj", "leave nothing to compress"),
        ("rtn:group_size=64+wanda", "'wanda' prunes after a quantization step"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_from_the_config(recipe: str, says: str) -> None:
    said = complaint(recipe, DEMO_SHAPES)
    assert said is not None
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "recipe", ["gptq:group_size=64", "gptq:group_size=channel", "wanda:pattern=2:4", "wanda:sparsity=0.75,pattern=1:4"]
)
def test_a_recipe_that_works_passes(recipe: str) -> None:
    assert complaint(recipe, DEMO_SHAPES) is None


def test_it_takes_a_network_and_a_loaded_model_too() -> None:
    for model in (small_network("llama"), loaded(small_network("gpt2")), GPT2Config(n_embd=32, n_layer=1, n_head=2)):
        assert complaint("wanda", model) is None
        assert "group_size=48" in str(complaint("rtn:group_size=48", model))


def test_a_quantized_model_is_refused() -> None:
    config = LlamaConfig(**SMALL, num_attention_heads=4)
    config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(ModelError, match=r"quantized already \(gptq\): evaluate it as it is"):
        check(parse_recipe("wanda"), config)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (torch.nn.Sequential(torch.nn.Embedding(3, 4)), "no linear layers"),
        (torch.nn.Linear(3, 4), "no linear layers in a list of blocks"),
        (
            T5ForConditionalGeneration(T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=9)),
            "encoder",
        ),
    ],
)
def test_models_without_a_decoder_s_shape_are_refused(network: Any, says: str) -> None:
    with pytest.raises(CrushtestError, match=says):
        check(parse_recipe("wanda"), network)
