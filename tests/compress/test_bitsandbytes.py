"""The formats of bitsandbytes: what they cost, and what they do to the outputs."""

from __future__ import annotations

import pytest
import torch

from crushtest.compress import compress
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.recipes import parse_recipe
from crushtest.engines.hf.trial import find_paths
from crushtest.errors import UsageError
from support import tiny_models
from support.small_models import TOKENIZER, loaded, small_network

pytest.importorskip("bitsandbytes")

CALIBRATION = calibration_tokens(Calibration(sequences=4, length=24), TOKENIZER)
IDS = torch.arange(1, 25).reshape(2, 12)


@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        ("nf4:double_quantization=false", 4 + 32 / 64),
        ("fp4:double_quantization=false,scale_block=128", 4 + 32 / 128),
    ],
)
def test_scales_are_counted(recipe: str, bits: float) -> None:
    record = compress(loaded(small_network("llama")), parse_recipe(recipe), CALIBRATION)
    assert record.totals.bits_per_weight == pytest.approx(bits)


def test_double_quantization_saves_most_of_the_scales() -> None:
    record = compress(loaded(small_network("llama")), parse_recipe("nf4"), CALIBRATION)
    assert 4 + 8 / 64 < record.totals.bits_per_weight < 4.5


def test_a_four_bit_layer_holds_sixteen_values_a_block() -> None:
    network = small_network("llama")
    compress(loaded(network), parse_recipe("nf4:double_quantization=false"), CALIBRATION)
    block = network.model.layers[0].mlp.up_proj.weight.flatten()[:64]
    assert len(block.unique()) <= 16


def test_int8_stays_close_and_changes_activations_too() -> None:
    network = small_network("llama")
    dense = network(IDS).logits
    record = compress(loaded(network), parse_recipe("int8"), CALIBRATION)
    assert type(network.model.layers[0].mlp.up_proj).__name__ == "Linear8bitLt"
    assert torch.nn.functional.cosine_similarity(network(IDS).logits, dense, dim=-1).min() > 0.999
    assert all(layer.output_error is not None and 0 < layer.output_error < 0.05 for layer in record.layers)
    assert {group.reason for group in record.untouched} >= {"embedding", "normalisation"}


def test_int8_keeps_outlier_features_in_16_bits() -> None:
    errors = []
    for threshold in (0.0, 6.0):
        network = small_network("llama")
        for layer in network.model.layers:
            layer.post_attention_layernorm.weight[3] = 200.0
        record = compress(loaded(network), parse_recipe(f"int8:threshold={threshold},layers=up_proj"), CALIBRATION)
        errors.append(max(layer.output_error or 0.0 for layer in record.layers))
    assert errors[1] < 0.5 * errors[0]


def test_int8_gives_texts_a_likelihood_though_all_tokens_decide_its_grid() -> None:
    model = tiny_models.loaded("llama")
    with torch.no_grad():
        for layer in model.network.model.layers:
            layer.mlp.down_proj.weight.mul_(5.0)
    compress(model, parse_recipe("int8:threshold=1.0"), CALIBRATION)
    assert find_paths(model, 2048).scoring == "packs"


@pytest.mark.parametrize("recipe", ["int8+rtn:group_size=32", "int8:layers=up_proj+nf4", "int8+int8"])
def test_no_step_works_on_layers_that_int8_has_replaced(recipe: str) -> None:
    with pytest.raises(UsageError, match=r"layer model.layers.0.*: an earlier step, int8, has put another layer there"):
        compress(loaded(small_network("llama")), parse_recipe(recipe), CALIBRATION)


@pytest.mark.parametrize("recipe", ["nf4:scale_block=100", "int8:threshold=-1"])
def test_bad_options_are_refused(recipe: str) -> None:
    with pytest.raises(UsageError):
        parse_recipe(recipe)
