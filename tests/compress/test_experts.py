"""Experts that lie in one tensor are compressed as linear layers of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear as product
from torch.nn.functional import silu
from transformers import AutoModelForCausalLM

from crushtest.compress import (
    CompressionRecord,
    InputGram,
    InputNorm,
    WeightGradient,
    check,
    compress,
    gblm,
    gptq,
    sparsegpt,
    wanda,
)
from crushtest.compress.calibration import Calibration, CalibrationTokens
from crushtest.compress.layers.collect import ENOUGH_TOKENS
from crushtest.compress.layers.products import products_with
from crushtest.compress.layers.structure import Linear, find_structure
from crushtest.compress.recipes import parse_recipe
from crushtest.compress.save import save
from crushtest.compress.to_folder import compress_and_save
from crushtest.errors import ModelError, UsageError
from crushtest.models.checkpoint import read_folder
from crushtest.models.options import ModelOptions
from crushtest.models.stored_size import totals as stored_totals
from support.expert_families import expert_network, families, small_config
from support.small_models import TOKENIZER
from support.tiny_models import tokenizer

FEW = ["mixtral", "gpt_oss", "llama4_text", "jetmoe"]
"""[experts, out, in]; [experts, in, out] with biases and interleaved; every token to every expert; two modules."""
COMMON = ["qwen2_moe", "qwen3_moe", "olmoe", "phimoe", "granitemoe", "deepseek_v2", "deepseek_v3", "jamba", "dbrx"]
PASS_MORE = {"glm_moe_dsa", "hy_v4", "zaya"}
IDS = torch.randint(3, 99, (8, 64), generator=torch.Generator().manual_seed(1))


def tokens(ids: Tensor = IDS) -> CalibrationTokens:
    return CalibrationTokens(ids, {})


def compressed(recipe: str, kind: str, ids: Tensor = IDS, **settings: Any) -> tuple[Any, CompressionRecord]:
    """The loaded model after a recipe, and the record."""
    model = SimpleNamespace(network=expert_network(kind, **settings), tokenizer=TOKENIZER, spec=kind, facts={})
    return model, compress(model, parse_recipe(recipe), tokens(ids))  # type: ignore[arg-type]


def matrices(kind: str, network: Any, parameter: str) -> Iterator[Tensor]:
    """Every expert's weight [out, in] in the packed tensors of that name, by what the architecture says."""
    turned = kind in ("gpt_oss", "llama4_text")
    for name, tensor in network.named_parameters():
        if tensor.dim() == 3 and name.endswith(parameter):
            yield from (expert.T if turned else expert for expert in tensor)


@pytest.mark.parametrize("kind", FEW)
def test_magnitude_reaches_the_sparsity_in_each_expert(kind: str) -> None:
    model, record = compressed("magnitude:sparsity=0.5", kind)
    experts = list(matrices(kind, model.network, ""))
    assert len(experts) == len([layer for layer in record.layers if layer.tokens is not None])
    for weight in experts:
        assert abs(int((weight == 0).sum()) - weight.numel() // 2) <= 1


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "gblm"])
def test_a_pattern_runs_along_the_input_of_each_expert(method: str, kind: str) -> None:
    model, _ = compressed(f"{method}:pattern=2:4", kind)
    for weight in matrices(kind, model.network, ""):
        assert ((weight.reshape(-1, 4) != 0).sum(dim=1) == 2).all()
        assert not ((weight.T.reshape(-1, 4) != 0).sum(dim=1) == 2).all()


@pytest.mark.parametrize("kind", FEW)
def test_groups_run_along_the_input_of_each_expert(kind: str) -> None:
    model, _ = compressed("rtn:bits=2,group_size=16", kind)
    for weight in matrices(kind, model.network, ""):
        assert max(len(group.unique()) for group in weight.reshape(-1, 16)) <= 4


def routed_by_hand(network: Any, ids: Tensor) -> dict[str, list[list[Tensor]]]:
    """What each expert of a Mixtral's first block is given, for each sequence, by a plain loop over the experts."""
    experts, router = network.model.layers[0].mlp.experts, network.model.layers[0].mlp.gate
    entering: list[Tensor] = []
    hook = network.model.layers[0].mlp.register_forward_pre_hook(lambda _, args: entering.append(args[0].clone()))
    for sequence in ids:
        network(input_ids=sequence.unsqueeze(0), use_cache=False)
    hook.remove()
    rows: dict[str, list[list[Tensor]]] = {"gate_up_proj": [], "down_proj": []}
    for expert in range(len(experts.down_proj)):
        first, second = [], []
        for hidden in entering:
            flat = hidden.reshape(-1, hidden.shape[-1])
            chosen = (flat @ router.weight.T).topk(2, dim=1).indices
            mine = flat[(chosen == expert).any(dim=1)]
            gate, up = product(mine, experts.gate_up_proj[expert]).chunk(2, dim=1)
            first.append(mine)
            second.append(silu(gate) * up)
        rows["gate_up_proj"].append(first)
        rows["down_proj"].append(second)
    return rows


def statistic(kind: Any, parts: list[Tensor]) -> Any:
    return kind.from_activations(torch.cat(parts), sequences=len(parts))


@pytest.mark.parametrize(
    ("recipe", "kernel"),
    [
        ("wanda:sparsity=0.5", lambda weight, parts: wanda(weight, statistic(InputNorm, parts), sparsity=0.5)),
        ("sparsegpt:sparsity=0.5", lambda weight, parts: sparsegpt(weight, statistic(InputGram, parts), sparsity=0.5)),
        ("gptq:group_size=16", lambda weight, parts: gptq(weight, statistic(InputGram, parts), group_size=16)),
    ],
)
def test_an_expert_is_what_the_method_makes_of_its_tokens(
    recipe: str, kernel: Callable[[Tensor, list[Tensor]], Tensor]
) -> None:
    dense = expert_network("mixtral")
    rows = routed_by_hand(dense, IDS)
    model, record = compressed(recipe, "mixtral")
    experts = model.network.model.layers[0].mlp.experts
    counted = {layer.name: layer.tokens for layer in record.layers}
    for name, parts in rows.items():
        for expert, own in enumerate(parts):
            expected = kernel(getattr(dense.model.layers[0].mlp.experts, name)[expert], own)
            given = getattr(experts, name)[expert]
            assert counted[f"model.layers.0.mlp.experts.{expert}.{name}"] == sum(map(len, own)) >= ENOUGH_TOKENS
            assert ((given - expected).abs() < 1e-5).float().mean() > 0.99, (name, expert)


def test_gblm_takes_the_gradient_of_each_expert() -> None:
    dense = expert_network("mixtral")
    rows = routed_by_hand(dense, IDS)["down_proj"]
    weight: Any = dense.model.layers[0].mlp.experts.down_proj
    weight.requires_grad_(True)
    gradients = []
    for sequence in IDS:
        loss = dense(input_ids=sequence.unsqueeze(0), labels=sequence.unsqueeze(0), use_cache=False).loss
        gradients.append(torch.autograd.grad(loss, weight)[0])
    model, _ = compressed("gblm:sparsity=0.5", "mixtral")
    for expert, own in enumerate(rows):
        gradient = WeightGradient(*(part[expert] for part in gradients))
        expected = gblm(weight[expert].detach(), statistic(InputNorm, own), gradient, sparsity=0.5)
        given = model.network.model.layers[0].mlp.experts.down_proj[expert]
        assert ((given == expected).float().mean()) > 0.99


def unvisited() -> Any:
    """A Mixtral with one expert per token, whose last router row is the mean of the others, so that it never wins."""
    network = expert_network("mixtral", num_experts_per_tok=1)
    router = network.model.layers[0].mlp.gate
    router.weight[-1] = router.weight[:-1].mean(dim=0)
    return network


def test_an_expert_without_tokens_gets_the_pooled_statistic() -> None:
    network = unvisited()
    dense = {name: tensor.clone() for name, tensor in network.named_parameters()}
    entering: list[Tensor] = []
    hook = network.model.layers[0].mlp.register_forward_pre_hook(lambda _, args: entering.append(args[0].clone()))
    network(input_ids=IDS, use_cache=False)
    hook.remove()
    model: Any = SimpleNamespace(network=network, tokenizer=TOKENIZER, spec="mixtral", facts={})
    record = compress(model, parse_recipe("wanda:sparsity=0.5"), tokens())
    name = "model.layers.0.mlp.experts.3.gate_up_proj"
    layer = next(layer for layer in record.layers if layer.name == name)
    assert (layer.tokens, layer.pooled, layer.output_error) == (0, True, None)
    assert {name, name.replace("gate_up", "down")} <= set(record.pooled_experts)
    assert record.to_json()["pooled_experts"] == record.pooled_experts
    weight = dense["model.layers.0.mlp.experts.gate_up_proj"][3]
    everything = InputNorm.from_activations(entering[0])  # all tokens, each routed to one of the other experts
    expected = wanda(weight, everything, sparsity=0.5)
    assert (network.model.layers[0].mlp.experts.gate_up_proj[3] == expected).float().mean() > 0.99


def test_few_tokens_are_pooled_and_enough_are_not() -> None:
    _, record = compressed("wanda:sparsity=0.5", "mixtral", ids=IDS[:1])
    experts = [layer for layer in record.layers if layer.tokens is not None]
    assert {layer.pooled for layer in experts} == {True, False}
    assert all(layer.pooled == (layer.tokens < ENOUGH_TOKENS) for layer in experts if layer.tokens is not None)


@pytest.mark.parametrize("recipe", ["magnitude", "rtn:group_size=16"])
def test_methods_without_statistics_pool_nothing(recipe: str) -> None:
    network = unvisited()
    model: Any = SimpleNamespace(network=network, tokenizer=TOKENIZER, spec="mixtral", facts={})
    assert compress(model, parse_recipe(recipe), tokens()).pooled_experts == ()


def test_methods_without_statistics_count_the_tokens_of_a_sample() -> None:
    _, record = compressed("magnitude", "mixtral", ids=IDS.repeat(3, 1))
    first = [layer.tokens for layer in record.layers if "layers.0.mlp" in layer.name and "down_proj" in layer.name]
    assert sum(filter(None, first)) == 512 * 2  # two experts per token


def test_the_router_of_a_family_with_rows_for_more_stays_dense() -> None:
    _, record = compressed("magnitude", "inkling_text")
    left = {group.modules: group.reason for group in record.untouched}
    assert left["model.layers.*.mlp.gate"] == "not a linear layer"


def reordered(linear: Linear) -> Linear:
    """The layer as one who takes [out, in] for [in, out] would see it: of the same shape, at the same place."""
    assert linear.packed
    kept, transposed = linear.packed.kept[::-1], not linear.packed.transposed
    return replace(linear, packed=replace(linear.packed, kept=kept, transposed=transposed))


@pytest.mark.parametrize("parameter", ["gate_up_proj", "down_proj"])
def test_a_wrong_view_is_noticed_however_small_the_weights(parameter: str) -> None:
    network = expert_network("mixtral")
    experts = [linear for linear in find_structure(network).experts if linear.name.endswith(parameter)]
    for linear in experts:
        linear.weight.mul_(1e-4)
    with products_with(experts) as rows:
        network(input_ids=IDS, use_cache=False)
    assert all(rows[linear.name] for linear in experts)
    with pytest.raises(ModelError, match="does not give the outputs"), products_with([reordered(experts[0])]):
        network(input_ids=IDS, use_cache=False)


def test_a_product_of_zeros_waits_for_another_to_be_compared() -> None:
    network = expert_network("mixtral")
    linear = reordered(find_structure(network).experts[0])
    weight = linear.parameter[0]
    with products_with([linear]):
        product(torch.zeros(2, weight.shape[1]), weight)
        with pytest.raises(ModelError, match="does not give the outputs"):
            product(torch.eye(2, weight.shape[1]), weight)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(0.0, torch.float32), (1.0, torch.float32), (30.0, torch.float32), (0.0, torch.bfloat16), (1.0, torch.bfloat16)],
)
def test_a_product_with_a_bias_is_compared_without_it(size: float, dtype: torch.dtype) -> None:
    network = expert_network("mixtral").to(dtype)
    right = find_structure(network).experts[0]
    weight = right.parameter[0]
    rows, bias = torch.eye(weight.shape[1])[:4].to(dtype), torch.full((len(weight),), size).to(dtype)
    with products_with([right]) as seen:
        product(rows, weight, bias)
    assert len(seen[right.name]) == 1
    with pytest.raises(ModelError, match="does not give the outputs"), products_with([reordered(right)]):
        product(rows, weight, bias)


def test_a_product_that_vanishes_beside_its_bias_shows_nothing() -> None:
    network = expert_network("mixtral")
    linear = reordered(find_structure(network).experts[0])
    weight = linear.parameter[0]
    rows = torch.eye(2, weight.shape[1])
    with products_with([linear]) as seen:
        product(rows, weight, torch.full((len(weight),), 1e6))
    assert [torch.equal(given, rows) for given in seen[linear.name]] == [True]


def test_integers_of_experts_are_named_and_not_kept() -> None:
    _, record = compressed("rtn:group_size=16", "mixtral")
    assert {name.rpartition(".")[2] for name in record.quantized} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert record.to_json()["quantized"] == sorted(layer.name for layer in record.layers)


@pytest.mark.parametrize("kind", FEW)
def test_routers_are_left_dense_and_named(kind: str) -> None:
    dense = expert_network(kind)
    model, record = compressed("magnitude:sparsity=0.9", kind)
    left = [group for group in record.untouched if group.reason == "router, left dense"]
    assert left
    for (name, before), after in zip(dense.named_parameters(), model.network.parameters(), strict=True):
        if "router" in name or name.endswith("gate.weight"):
            assert torch.equal(before, after), name
    everything = sum(parameter.numel() for parameter in dense.parameters())
    assert record.totals.linear_weights + sum(group.parameters for group in record.untouched) == everything


def test_sizes_count_experts_and_what_is_left_of_a_tensor() -> None:
    _, whole = compressed("magnitude:pattern=2:4", "mixtral")
    experts = 2 * 4 * 3 * 32 * 64  # blocks, experts, matrices of 32 x 64
    assert whole.totals.expert_weights == experts
    assert whole.totals.bits_per_weight == 9
    _, part = compressed("magnitude:pattern=2:4,skip=experts.3.*", "mixtral")
    assert part.totals.expert_weights == experts * 3 // 4
    left = {group.modules: group.parameters for group in part.untouched if group.reason == "left out by the recipe"}
    assert left == {"model.layers.*.mlp.experts": experts // 4}


@pytest.mark.parametrize("recipe", ["wanda:pattern=2:4", "gptq:group_size=16", "wanda+rtn:bits=8,group_size=16"])
@pytest.mark.parametrize("kind", FEW)
def test_a_saved_model_gives_the_same_logits(kind: str, recipe: str, tmp_path: Path) -> None:
    expert_network(kind).save_pretrained(tmp_path / "dense")
    model, record = compressed(recipe, kind)
    expected = model.network(input_ids=IDS, use_cache=False).logits
    save(model, record, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval().requires_grad_(False)
    assert torch.equal(loaded(input_ids=IDS, use_cache=False).logits, expected)
    assert layout(tmp_path / "out") == layout(tmp_path / "dense")
    assert json.loads((tmp_path / "out" / "compression.json").read_text())["saved"]["format"] == "dense"


def layout(folder: Path) -> dict[str, list[int]]:
    """The names and shapes of a folder's tensors."""
    from safetensors.torch import load_file

    return {
        name: list(tensor.shape) for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()
    }


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss", "jetmoe"])
def test_experts_on_disk_give_the_same_bytes(kind: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    expert_network(kind, vocab_size=len(tokenizer())).save_pretrained(tmp_path / "dense", max_shard_size="50KB")
    tokenizer().save_pretrained(tmp_path / "dense")
    for offload in ("none", "cpu", "disk"):
        compress_and_save(
            str(tmp_path / "dense"),
            "wanda:pattern=2:4",
            tmp_path / offload,
            options=ModelOptions("float32", "cpu"),
            calibration=Calibration(sequences=4, length=64),
            offload=offload,
        )
    sets = [
        {
            name: tensor
            for file in (tmp_path / offload).glob("*.safetensors")
            for name, tensor in load_file(file).items()
        }
        for offload in ("none", "cpu", "disk")
    ]
    for other in sets[1:]:
        assert other.keys() == sets[0].keys()
        assert all(torch.equal(tensor, other[name]) for name, tensor in sets[0].items())
    about = json.loads((tmp_path / "disk" / "compression.json").read_text())
    dense = stored_totals(read_folder(tmp_path / "dense"))["dense_model_size_bytes"]
    assert about["totals"]["dense_model_size_bytes"] == dense


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("awq:group_size=16", "use another method, or skip them (skip=experts.*)"),
        ("int8", "it exchanges modules"),
        (
            "wanda:pattern=3:7,layers=experts.*",
            "experts.0.gate_up_proj: pattern 3:7 needs a number of input features divisible by 7",
        ),
        ("rtn:group_size=48,layers=experts.*", "experts.0.gate_up_proj: group_size=48 does not divide 32 input"),
    ],
)
def test_what_experts_cannot_take_is_refused_from_the_config(recipe: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        check(parse_recipe(recipe), small_config("mixtral"))
    assert says in str(error.value)


def test_awq_works_beside_experts_that_are_skipped() -> None:
    _, record = compressed("awq:group_size=16,skip=experts.*", "mixtral")
    assert record.totals.expert_weights == 0
    assert {layer.name.rpartition(".")[2] for layer in record.layers} == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_tensors_used_in_another_way_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = expert_network("mixtral")
    network.set_experts_implementation("batched_mm")  # it gathers a weight per token
    with pytest.raises(ModelError, match="aten::index"):
        find_structure(network)


def test_each_layer_of_a_config_is_found_without_its_weights() -> None:
    with torch.device("meta"):
        bare = AutoModelForCausalLM.from_config(small_config("mixtral"))
    names = [linear.name for linear in find_structure(bare).linears]
    assert names == [linear.name for linear in find_structure(expert_network("mixtral")).linears]
    assert "model.layers.1.mlp.experts.3.down_proj" in names


def test_bfloat16_experts_are_compressed_and_saved(tmp_path: Path) -> None:
    expert_network("gpt_oss").save_pretrained(tmp_path / "dense")
    network = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.bfloat16).eval().requires_grad_(False)
    )
    model: Any = SimpleNamespace(network=network, tokenizer=TOKENIZER, spec="gpt_oss", facts={})
    record = compress(model, parse_recipe("wanda:pattern=2:4"), tokens())
    save(model, record, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16).eval().requires_grad_(False)
    given = [model(input_ids=IDS, use_cache=False).logits for model in (network, loaded)]
    assert torch.equal(*given)


def test_a_router_beside_experts_in_modules_is_left_dense() -> None:
    class Mixture(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = torch.nn.Linear(8, 3)
            self.experts = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(3))

    network: Any = torch.nn.Module()
    network.layers = torch.nn.ModuleList(Mixture() for _ in range(2))
    structure = find_structure(network)
    assert structure.routers == {"layers.0.gate", "layers.1.gate"}
    assert [linear.name for linear in structure.linears[:3]] == [f"layers.0.experts.{number}" for number in range(3)]


LEFT_DENSE = {
    "deepseek_v4": {"o_a_proj", "attn_hc", "ffn_hc"},
    "inkling2_text": {"relative_position_bias"},
    "inkling2_loop_text": {"relative_position_bias"},
    "inkling_text": {"rel_logits_proj"},
}
"""Matrices of `hidden_size` ** 2 numbers or more that are not linear layers: of head groups, mixing, and positions."""


def large_matrices_left(network: Any, record: CompressionRecord) -> set[str]:
    """The last names of modules with a large matrix that the record calls no linear layer."""
    left = {group.modules for group in record.untouched if group.reason == "not a linear layer"}
    return {
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if re.sub(r"\d+", "*", name) in left
        and any(each.dim() == 2 and each.numel() >= 32 * 32 for each in module.parameters(recurse=False))
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", families())
def test_every_family_is_compressed_whole_or_refused_from_its_config(kind: str, tmp_path: Path) -> None:
    if kind in PASS_MORE:
        with pytest.raises(ModelError, match="passes more than hidden states"):
            check(parse_recipe("wanda:pattern=2:4"), small_config(kind))
        return
    check(parse_recipe("wanda:pattern=2:4"), small_config(kind))
    model, record = compressed("wanda:pattern=2:4", kind)
    for parameter in (linear.weight for linear in find_structure(model.network).linears):
        assert ((parameter.reshape(-1, 4) != 0).sum(dim=1) <= 2).all()
    if kind != "doge":  # its experts are rows of embeddings
        assert record.totals.expert_weights > 0
    assert large_matrices_left(model.network, record) == LEFT_DENSE.get(kind, set())
    expected = model.network(input_ids=IDS[:2], use_cache=False).logits
    save(model, record, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval().requires_grad_(False)
    assert torch.equal(loaded(input_ids=IDS[:2], use_cache=False).logits, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", ["magnitude", "sparsegpt", "gblm", "rtn:group_size=channel", "gptq:group_size=channel"]
)
@pytest.mark.parametrize("kind", [*FEW, *COMMON])
def test_every_method_runs_on_the_common_families(kind: str, recipe: str) -> None:
    _, record = compressed(recipe, kind)
    assert record.totals.expert_weights > 0
    assert all(layer.output_error is None or 0 < layer.output_error < 0.9 for layer in record.layers)
