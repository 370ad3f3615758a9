"""Layers that a network never runs are left dense, those that only choose have no gradient, and none is exchanged
behind the model's back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from crushtest.compress import CompressionRecord, check, compress
from crushtest.compress.calibration import CalibrationTokens
from crushtest.compress.layers.structure import find_structure
from crushtest.compress.layers.usage import usage
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import UsageError
from support.architectures import build, loaded
from support.method_trials import TOKENS


def compressed(name: str, recipe: str) -> tuple[Any, CompressionRecord]:
    model = loaded(name)
    return model.network, compress(model, parse_recipe(recipe), CalibrationTokens(TOKENS, {}))


@pytest.mark.parametrize("name", ["bart", "whisper"])
def test_attention_to_an_encoder_that_is_not_there_is_left_dense(name: str) -> None:
    dense = dict(build(name).named_parameters())
    network, record = compressed(name, "magnitude:sparsity=0.5")
    assert not any("encoder_attn" in layer.name for layer in record.layers)
    left = [group for group in record.untouched if group.reason.startswith("never used")]
    assert {group.modules.split(".")[-2] for group in left} >= {"encoder_attn"}
    for parameter_name, parameter in network.named_parameters():
        if "encoder_attn" in parameter_name:
            assert torch.equal(parameter, dense[parameter_name])
    assert sum(group.parameters for group in record.untouched) + record.totals.linear_weights == sum(
        parameter.numel() for parameter in network.parameters()
    )


def test_attention_to_states_that_a_block_may_be_given_is_compressed_where_it_runs() -> None:
    structure = find_structure(build("gpt2"))
    assert not structure.unused
    assert len(structure.linears) == 4 * 4


def test_a_layer_that_only_chooses_has_a_gradient_of_zero() -> None:
    _, record = compressed("deepseek_v32", "gblm:sparsity=0.5")
    assert any("indexer" in layer.name for layer in record.layers)


def test_usage_tells_called_layers_from_used_ones() -> None:
    network = build("mamba")
    names = [linear.name for linear in find_structure(network).linears]
    seen = usage(network, names)
    assert seen is not None
    assert seen.used == set(names)
    assert {name.rpartition(".")[2] for name in seen.used - seen.called} == {"dt_proj"}


def test_a_layer_that_is_not_called_cannot_be_exchanged() -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(UsageError, match="skip=dt_proj"):
        check(parse_recipe("int8"), build("mamba").config)
    check(parse_recipe("int8:skip=dt_proj"), build("mamba").config)


def test_a_network_that_does_not_run_without_weights_tells_nothing() -> None:
    broken: Any = torch.nn.Module()
    broken.config = SimpleNamespace()
    assert usage(broken, []) is None
