"""What is refused before any weight is loaded, and how it is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, GPT2Config, LlamaConfig, T5Config, T5ForConditionalGeneration

from crushtest.compress import check
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import CompressionError, CrushtestError, ModelError, UsageError
from support.small_models import SMALL, loaded, small_network

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
        (
            "rtn:group_size=256,layers=*mlp*",
            "gate_proj: group_size=256 does not divide 576 input features (these do: 32, 64, 96, 192;",
        ),
        (
            "rtn:group_size=36",
            "down_proj: group_size=36 does not divide 1536 input features (these do: 32, 64, 96, 192;",
        ),
        ("gblm:gradient_scale=-1", "gradient_scale must be at least 0 (got '-1')"),
        ("gblm:gradient_scale=nan", "gradient_scale must be a finite number (got 'nan')"),
        ("gblm:gradient_scale=inf", "gradient_scale must be a finite number (got 'inf')"),
        ("wanda:pattern=5:7", "pattern 5:7 needs a number of input features divisible by 7 (got 576)"),
        ("wanda:sparsity=0", "sparsity=0 asks for nothing"),
        ("wanda:sparsity=0.3,pattern=2:4", "sparsity=0.3 contradicts pattern=2:4"),
        ("wanda:sparsity=0.5,pattern=1:4", "sparsity=0.5 contradicts pattern=1:4, which is a sparsity of 0.75"),
        ("sparsegpt:pattern=2:4,block_size=6", "block_size=6 must be a multiple of 4"),
        ("magnitude:pattern=2:4,scope=global", "scope=global has no meaning with a pattern"),
        ("wanda:layers=q_porj", "unknown layer 'q_porj'; did you mean 'q_proj'?"),
        ("wanda:layers=nothere*", "v_proj, or a glob pattern such as layers.0.* or *mlp*)"),
        ("llmcompressor", "method 'llmcompressor': file is required (a recipe file of llm-compressor, YAML or JSON)"),
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


@pytest.mark.parametrize(("sparsity", "pattern"), [("0.2", "4:5"), ("0.9", "1:10"), ("0.333333", "2:3")])
def test_a_sparsity_agrees_with_its_pattern_but_for_rounding(sparsity: str, pattern: str) -> None:
    shapes = LlamaConfig(hidden_size=60, intermediate_size=90, num_hidden_layers=1, num_attention_heads=3, vocab_size=9)
    assert complaint(f"wanda:sparsity={sparsity},pattern={pattern}", shapes) is None
    assert "contradicts" in str(complaint(f"wanda:sparsity={float(sparsity) + 0.001},pattern={pattern}", shapes))


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


def test_a_config_of_no_decoder_is_refused_in_our_words() -> None:
    with pytest.raises(ModelError, match="Unrecognized configuration class"):
        check(parse_recipe("wanda"), T5Config())


REMOTE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own_code"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_that_comes_with_a_model_is_run_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    folder = tmp_path / "model"
    config = LlamaConfig(**SMALL, num_attention_heads=4)
    config.auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    config.save_pretrained(folder)
    (folder / "own.py").write_text(REMOTE)
    own = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert type(own).__name__ == "OwnConfig"
    with pytest.raises(ModelError, match="contains custom code"):
        check(parse_recipe("wanda"), own)
    check(parse_recipe("wanda"), own, trust_remote_code=True)


@pytest.mark.parametrize(
    ("recipe", "package"),
    [
        ("nf4", "bitsandbytes"),
        ("wanda+fp4", "bitsandbytes"),
        ("int8", "bitsandbytes"),
        ("llmcompressor:file={file}", "llmcompressor"),
    ],
)
def test_a_method_whose_package_is_missing_is_refused(
    recipe: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text("stage: {}\n")
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"needs the package {package}: pip install 'crushtest\[{package}\]'"
    with pytest.raises(CompressionError, match=said):
        check(parse_recipe(recipe.format(file=tmp_path / "recipe.yaml")), DEMO_SHAPES)


def test_a_folder_of_packed_integers_needs_the_package_that_packs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compressed_tensors", None)
    for recipe in ("rtn:group_size=64", "wanda+gptq:group_size=64", "awq:group_size=64,skip=q_proj"):
        with pytest.raises(CompressionError, match=r"needs the package compressed-tensors: pip install"):
            check(parse_recipe(recipe), DEMO_SHAPES, to_save=True)
        check(parse_recipe(recipe), DEMO_SHAPES)
    check(parse_recipe("wanda"), DEMO_SHAPES, to_save=True)
    check(parse_recipe("rtn:group_size=16"), small_network("gpt2"), to_save=True)  # Conv1D is saved dequantized


def test_layers_that_another_package_cannot_take_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crushtest.compress.checks.find_spec", lambda name: name)  # as if every package were here
    file = tmp_path / "recipe.yaml"
    file.write_text("stage: {}\n")
    for option in ("skip=q_proj", "layers=*"):
        said = str(complaint(f"llmcompressor:file={file},{option}", DEMO_SHAPES))
        assert said == "method 'llmcompressor': its file says which layers; leave layers and skip out"
    assert "transformer.h.0.attn.c_attn: torch.nn.Linear is needed (got Conv1D)" in str(
        complaint("int8", small_network("gpt2"))
    )
