"""Decoders that differ from the usual: each is compressed, or refused from its config in one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig

from crushtest.compress import InputGram, check, compress, gptq
from crushtest.compress.calibration import CalibrationTokens
from crushtest.compress.layers.activations import FOREIGN_FAILURES
from crushtest.compress.layers.structure import find_structure, is_linear
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import ModelError, UsageError
from support.expert_families import expert_network, small_config
from support.small_models import TOKENIZER

IDS = torch.randint(3, 99, (4, 48), generator=torch.Generator().manual_seed(1))
SHAPES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "xlstm": {"num_heads": 4, "embedding_dim": 32},
    "mamba": {"state_size": 8},
    "falcon_mamba": {"state_size": 8},
    "falcon": {"multi_query": True, "new_decoder_architecture": False},
    "minicpm3": {},
}


def compressed(kind: str, recipe: str) -> tuple[Any, Any]:
    model: Any = SimpleNamespace(network=expert_network(kind, **SHAPES[kind]), tokenizer=TOKENIZER, spec=kind, facts={})
    return model.network, compress(model, parse_recipe(recipe), CalibrationTokens(IDS, {}))


def test_finding_layers_draws_no_random_numbers() -> None:
    network = expert_network("falcon", **SHAPES["falcon"])
    before = torch.random.get_rng_state()
    assert find_structure(network).linears
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("failure", FOREIGN_FAILURES)
def test_a_kind_of_layer_that_fails_alone_is_no_linear_layer(failure: type[Exception]) -> None:
    class Fails(torch.nn.Linear):
        __module__ = "transformers.models.some"

        def forward(self, _: Tensor) -> Tensor:
            raise failure

    assert not is_linear(Fails(3, 5))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("recipe", ["wanda:sparsity=0.5", "gptq:group_size=channel"])
def test_it_is_compressed_whole(kind: str, recipe: str) -> None:
    check(parse_recipe(recipe), small_config(kind, **SHAPES[kind]))
    network, record = compressed(kind, recipe)
    assert len(record.layers) == len(find_structure(network).linears)
    assert all(layer.output_error for layer in record.layers)
    assert network(input_ids=IDS, use_cache=False).logits.isfinite().all()


def test_a_layer_whose_weight_is_used_without_calling_it_has_statistics() -> None:
    dense = expert_network("mamba", **SHAPES["mamba"])
    mixer: Any = dense.backbone.layers[0].mixer
    made: list[Tensor] = []
    mixer.x_proj.register_forward_hook(lambda *call: made.append(call[-1]))
    dense(input_ids=IDS, use_cache=False)
    steps = made[0][..., : mixer.dt_proj.in_features]
    expected = gptq(mixer.dt_proj.weight, InputGram.from_activations(steps), group_size="channel")
    network, _ = compressed("mamba", "gptq:group_size=channel")
    assert torch.allclose(network.backbone.layers[0].mixer.dt_proj.weight, expected, atol=1e-5)


def test_a_models_own_router_is_no_linear_layer() -> None:
    names = {linear.name.rpartition(".")[2] for linear in find_structure(expert_network("phimoe")).linears}
    assert "router" not in names


@pytest.mark.parametrize("kind", ["glm_moe_dsa", "zaya"])
def test_what_passes_more_than_hidden_states_is_refused_from_its_config(kind: str) -> None:
    with pytest.raises(ModelError, match="passes more than hidden states from block to block"):
        check(parse_recipe("magnitude"), small_config(kind))


@pytest.mark.parametrize(
    ("recipe", "fits"),
    [("gptq", True), ("rtn:group_size=64", True), ("wanda:pattern=2:4", True), ("rtn:group_size=96", False)],
)
def test_the_widths_of_minicpm3_take_the_usual_groups(recipe: str, fits: bool) -> None:
    try:
        check(parse_recipe(recipe), AutoConfig.for_model("minicpm3"))
        taken = True
    except UsageError:
        taken = False
    assert taken == fits


def test_a_dry_run_leaves_the_network_as_it_is() -> None:
    network = expert_network("mixtral")
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in network.state_dict().items()}
    find_structure(network)
    for name, tensor in network.state_dict().items():
        assert tensor.data_ptr() == before[name][0]
        assert torch.equal(tensor, before[name][1])
