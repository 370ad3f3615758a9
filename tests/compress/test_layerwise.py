"""The layer loop, against a plain loop written from the papers' description."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from crushtest.compress import InputNorm, compress, magnitude, wanda
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.layers.structure import find_structure
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import CompressionError
from support.small_models import TOKENIZER, loaded, small_network

CALIBRATION = calibration_tokens(Calibration(sequences=6, length=24), TOKENIZER)
DECODERS = ["llama", "qwen2", "gpt_neox", "opt", "gpt2"]


def weights(network: Any) -> dict[str, Tensor]:
    return {linear.name: linear.weight.clone() for linear in find_structure(network).linears}


def whole_model_wanda(network: Any, tokens: Tensor) -> dict[str, Tensor]:
    """Wanda the slow way: for every block, a forward pass of the whole model shows each layer its inputs."""
    network = copy.deepcopy(network)
    structure = find_structure(network)
    for number in range(len(structure.blocks)):
        linears = [linear for linear in structure.linears if linear.block == number]
        seen: dict[str, list[Tensor]] = {linear.name: [] for linear in linears}
        hooks = [
            linear.module.register_forward_pre_hook(lambda _, args, kept=seen[linear.name]: kept.append(args[0]))
            for linear in linears
        ]
        for sequence in tokens:
            network(sequence.unsqueeze(0))
        for hook in hooks:
            hook.remove()
        for linear in linears:
            norm = InputNorm()
            for inputs in seen[linear.name]:
                norm.add(inputs)
            linear.replace_weight(wanda(linear.weight, norm, sparsity=0.5))
    return weights(network)


@pytest.mark.parametrize("kind", DECODERS)
def test_it_gives_what_whole_forward_passes_would(kind: str) -> None:
    network = small_network(kind)
    model = loaded(network)
    expected = whole_model_wanda(network, CALIBRATION.ids)
    compress(model, parse_recipe("wanda:sparsity=0.5"), CALIBRATION)
    for name, weight in weights(network).items():
        assert torch.equal(weight, expected[name]), name


def test_a_later_block_sees_the_compressed_activations_of_earlier_ones() -> None:
    dense_statistics, sequential = small_network("llama"), small_network("llama")
    compress(loaded(sequential), parse_recipe("wanda:sparsity=0.9"), CALIBRATION)
    compress(loaded(dense_statistics), parse_recipe("wanda:sparsity=0.9,layers=layers.1.*"), CALIBRATION)
    ours, alone = weights(sequential), weights(dense_statistics)
    second = [name for name in ours if ".layers.1." in name]
    assert any(not torch.equal(ours[name], alone[name]) for name in second)


def test_what_is_not_a_linear_layer_of_a_block_stays(llama: Any) -> None:
    before = {name: parameter.clone() for name, parameter in llama.network.named_parameters()}
    record = compress(llama, parse_recipe("wanda:sparsity=0.5"), CALIBRATION)
    changed = {name for name, parameter in llama.network.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {f"{layer.name}.weight" for layer in record.layers}
    reasons = {group.modules: group.reason for group in record.untouched}
    assert reasons["model.embed_tokens"] == "embedding"
    assert "output layer" in reasons["lm_head"]
    assert reasons["model.layers.*.input_layernorm"] == "normalisation"


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "gblm", "rtn", "gptq", "awq"])
@pytest.mark.parametrize("kind", DECODERS)
def test_every_method_runs_on_every_kind_of_decoder(method: str, kind: str) -> None:
    network = small_network(kind)
    grouped = ":group_size=16" if method in ("rtn", "gptq", "awq") else ""
    record = compress(loaded(network), parse_recipe(method + grouped), CALIBRATION)
    assert all(layer.changed and layer.output_error for layer in record.layers)
    assert network(torch.arange(20).unsqueeze(0)).logits.isfinite().all()
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_the_batches_of_calibration_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for room in (24, 48, 4096):
        monkeypatch.setattr("crushtest.compress.layers.activations._BATCH_TOKENS_CPU", room)
        network = small_network("llama")
        compress(loaded(network), parse_recipe("sparsegpt:sparsity=0.5"), CALIBRATION)
        results.append(weights(network))
    for name, weight in results[0].items():
        for other in results[1:]:
            torch.testing.assert_close(weight, other[name], rtol=1e-3, atol=1e-5)


def test_gblm_takes_the_gradients_that_autograd_gives(llama: Any) -> None:
    from crushtest.compress.layers.collect import collect_gradients

    tokens = CALIBRATION.ids
    linears = find_structure(llama.network).linears
    gradients = collect_gradients(llama.network, linears, tokens, "l2", lambda done: None)
    llama.network.requires_grad_(True)
    squares = {linear.name: torch.zeros(linear.shape) for linear in linears}
    for sequence in tokens:
        llama.network.zero_grad()
        llama.network(sequence.unsqueeze(0), labels=sequence.unsqueeze(0)).loss.backward()
        for linear in linears:
            squares[linear.name] += linear.module.weight.grad**2  # type: ignore[union-attr, operator]
    for linear in linears:
        torch.testing.assert_close(gradients[linear.name].size, squares[linear.name].sqrt())


def test_one_global_threshold_prunes_the_smallest_weights_of_all(llama: Any) -> None:
    before = weights(llama.network)
    record = compress(llama, parse_recipe("magnitude:sparsity=0.5,scope=global"), CALIBRATION)
    after = weights(llama.network)
    kept = torch.cat([weight[after[name] != 0].abs() for name, weight in before.items()])
    gone = torch.cat([weight[after[name] == 0].abs() for name, weight in before.items()])
    assert gone.max() <= kept.min() * 1.02
    assert abs(record.totals.sparsity - 0.5) < 0.005
    assert len({layer.sparsity for layer in record.layers}) > 1
    assert not torch.equal(next(iter(after.values())), magnitude(next(iter(before.values())), sparsity=0.5))


def test_a_pruned_weight_stays_zero_through_quantization(llama: Any) -> None:
    record = compress(llama, parse_recipe("wanda:sparsity=0.5+gptq:bits=4,group_size=16"), CALIBRATION)
    assert record.totals.sparsity >= 0.5
    pruned = [layer for layer in record.layers if layer.step == 0]
    quantized = [layer for layer in record.layers if layer.step == 1]
    assert all(after.sparsity >= before.sparsity for before, after in zip(pruned, quantized, strict=True))
    # half of the weights at 4 bits, one bit per weight for their positions; 16 + 4 bits for each group of 16
    assert record.totals.bits_per_weight == pytest.approx(0.5 * 4 + 1 + 20 / 16)


@pytest.mark.parametrize("recipe", ["magnitude:sparsity=0.5", "magnitude:pattern=2:4", "wanda:pattern=2:4"])
def test_half_of_the_weights_take_nine_sixteenths_with_their_positions(llama: Any, recipe: str) -> None:
    totals = compress(llama, parse_recipe(recipe), CALIBRATION).totals
    assert totals.bits_per_weight == pytest.approx(9, abs=0.02)
    assert totals.compression_ratio == pytest.approx(7 / 16, abs=0.002)


EVERY_METHOD = [
    *("magnitude", "magnitude:scope=global", "wanda", "sparsegpt", "gblm"),
    *("rtn:group_size=16", "gptq:group_size=16", "awq:group_size=16", "nf4", "int8"),
]


def skip_without_its_package(recipe: str) -> None:
    if recipe in ("nf4", "int8"):
        pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("recipe", EVERY_METHOD)
def test_nan_in_a_weight_is_an_error_that_names_the_layer(recipe: str, llama: Any) -> None:
    skip_without_its_package(recipe)
    llama.network.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(CompressionError, match=r"^model\.layers\.1\.mlp\.up_proj: the weight holds NaN"):
        compress(llama, parse_recipe(recipe), CALIBRATION)


@pytest.mark.parametrize("recipe", [recipe for recipe in EVERY_METHOD if recipe != "gblm"])
def test_infinite_activations_are_an_error_that_names_the_layer(recipe: str, llama: Any) -> None:
    skip_without_its_package(recipe)
    llama.network.model.layers[1].input_layernorm.weight[0] = float("inf")
    with pytest.raises(CompressionError, match=r"^model\.layers\.1\.self_attn\.q_proj: NaN or infinity"):
        compress(llama, parse_recipe(recipe), CALIBRATION)


def test_a_step_that_changes_nothing_is_an_error(llama: Any) -> None:
    for linear in find_structure(llama.network).linears:
        linear.replace_weight(torch.zeros(linear.shape))
    with pytest.raises(CompressionError, match="changed no weight of 14 layers"):
        compress(llama, parse_recipe("magnitude"), CALIBRATION)


def test_progress_counts_up_to_its_end(llama: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    compress(llama, parse_recipe("wanda"), CALIBRATION, on_progress=lambda *report: seen.append(report))
    assert seen == [("compressing blocks", 1, 2), ("compressing blocks", 2, 2)]
