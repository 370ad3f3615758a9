"""AWQ: scales move where the block lets them, and outlier channels are kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from crushtest.compress import awq, compress, rtn
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.kernels.statistics import InputGram
from crushtest.compress.layers.loop import Block, Compressed, as_job, compress_blocks
from crushtest.compress.layers.scale_folding import Pair, find_pairs, scale_columns
from crushtest.compress.layers.structure import Linear
from crushtest.compress.recipes import parse_recipe
from support.small_models import TOKENIZER, loaded, small_network

CALIBRATION = calibration_tokens(Calibration(sequences=6, length=24), TOKENIZER)
IDS = torch.arange(1, 25).reshape(2, 12)


def pairs_of(model: Any) -> list[list[Pair]]:
    found: list[list[Pair]] = []

    def look(block: Block) -> Iterator[Compressed]:
        found.append(find_pairs(block))
        return iter(())

    job = as_job(model.network, CALIBRATION.ids, "awq", {})
    list(compress_blocks(job, (InputGram,), look))
    return found


def short(pair: Pair) -> tuple[str, ...]:
    return tuple(linear.name.rpartition(".")[2] for linear in pair.linears)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # grouped-query attention: values are shared by heads, so o_proj has no source of its size
        ("llama", [("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("down_proj",)]),
        ("qwen2", [("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("down_proj",)]),
        # ReLU lets a scale through; values and outputs are of one size
        ("opt", [("q_proj", "k_proj", "v_proj"), ("out_proj",), ("fc1",), ("fc2",)]),
        # GELU does not
        ("gpt_neox", [("query_key_value",), ("dense_h_to_4h",)]),
    ],
)
def test_pairs_are_found_by_trying(kind: str, expected: list[tuple[str, ...]]) -> None:
    for pairs in pairs_of(loaded(small_network(kind))):
        assert [short(pair) for pair in pairs] == expected


@pytest.mark.parametrize("name", ["q_proj", "k_proj", "qkv_proj", "query_key_value", "Wqkv", "c_attn"])
def test_what_makes_queries_or_keys_is_not_clipped(name: str) -> None:
    assert Linear(f"model.layers.0.attention.{name}", torch.nn.Linear(1, 1), 0).makes_scores
    assert not Linear("model.layers.0.attention.v_proj", torch.nn.Linear(1, 1), 0).makes_scores


def test_looking_for_pairs_leaves_the_model_as_it_was() -> None:
    model = loaded(small_network("llama"))
    before = copy.deepcopy(model.network.state_dict())
    pairs_of(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_rescaling_alone_changes_no_logit() -> None:
    model = loaded(small_network("opt"))
    before = model.network(IDS).logits
    for pairs in pairs_of(model):
        for pair in pairs:
            scale = torch.rand(pair.linears[0].shape[1], generator=torch.Generator().manual_seed(0)) + 0.5
            scale_columns(pair.linears, scale)
            pair.source.divide(scale)
    torch.testing.assert_close(model.network(IDS).logits, before, rtol=1e-4, atol=1e-5)


def with_outliers() -> Any:
    """A small Llama whose norms blow up a few channels, as large models do."""
    network = small_network("llama", seed=1)
    for layer in network.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight[[3, 11, 20]] = 30.0
    return network


@pytest.mark.parametrize("bits", [3, 4])
def test_it_loses_less_than_rounding_on_outlier_channels(bits: int) -> None:
    dense = with_outliers()(IDS).logits.log_softmax(-1)
    errors = {}
    for method in ("rtn", "awq"):
        network = with_outliers()
        compress(loaded(network), parse_recipe(f"{method}:bits={bits},group_size=16"), CALIBRATION)
        errors[method] = float((network(IDS).logits.log_softmax(-1) - dense).abs().mean())
    assert errors["awq"] < 0.8 * errors["rtn"]


def test_the_record_names_the_norms_that_took_the_scales() -> None:
    record = compress(loaded(small_network("llama")), parse_recipe("awq:group_size=16"), CALIBRATION)
    assert "model.layers.0.input_layernorm" in record.steps[0].rescaled
    assert "model.layers.1.mlp.up_proj" in record.steps[0].rescaled
    assert record.totals.bits_per_weight == pytest.approx(4 + 20 / 16)


def test_layers_that_share_a_norm_with_one_left_out_are_not_rescaled() -> None:
    record = compress(loaded(small_network("llama")), parse_recipe("awq:group_size=16,skip=k_proj"), CALIBRATION)
    assert not any("input_layernorm" in name for name in record.steps[0].rescaled)


def test_the_scale_is_the_one_of_twenty_that_loses_least() -> None:
    network = with_outliers()
    attention = network.model.layers[0].self_attn
    weights = [module.weight.detach().clone() for module in (attention.q_proj, attention.k_proj, attention.v_proj)]
    norm = network.model.layers[0].input_layernorm
    before, tokens, seen = norm.weight.detach().clone(), CALIBRATION.ids, []
    with attention.q_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0])):
        network(tokens)
    rows = torch.cat(seen).reshape(-1, before.numel())

    def scale(step: int) -> torch.Tensor:
        raw = rows.abs().mean(dim=0) ** (step / 20)
        return raw / (raw.max() * raw.min()).sqrt()

    def loss(step: int) -> float:
        rounded = [rtn(weight * scale(step), bits=3, group_size=8) / scale(step) for weight in weights]
        return sum(float((rows @ (w - q).T).square().sum()) for w, q in zip(weights, rounded, strict=True))

    list(awq(network, tokens, bits=3, group_size=8))
    best = min(range(20), key=loss)
    assert best > 0
    torch.testing.assert_close(before / norm.weight, scale(best))


def test_it_takes_a_network_and_tokens_too() -> None:
    model = loaded(with_outliers())
    results = list(awq(model.network, CALIBRATION.ids, group_size=16))
    assert len(results) == 14
    assert all(result.changed for result in results)
