"""What every registered method of one layer must do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from crushtest.compress import InputGram, InputNorm, WeightGradient
from crushtest.compress.layers.loop import output_error
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import UsageError
from crushtest.registry import METHODS, Entry

LAYER_METHODS = [entry for entry in METHODS if entry.about.scope == "layer"]
PRUNING = [entry for entry in LAYER_METHODS if entry.about.kind == "pruning"]
GRIDS = [entry for entry in LAYER_METHODS if "bits" in entry.options]
QUANTIZATION = [entry for entry in LAYER_METHODS if entry.about.kind == "quantization"]


def name(entry: Entry) -> str:
    return entry.name


def call(entry: Entry, weight: Tensor, inputs: Tensor, **options: Any) -> Tensor:
    makers = {
        "InputNorm": lambda: InputNorm.from_activations(inputs, sequences=4),
        "InputGram": lambda: InputGram.from_activations(inputs, sequences=4),
        "WeightGradient": lambda: WeightGradient(torch.ones_like(weight)),
    }
    if entry.about.needs_package:
        pytest.importorskip(entry.about.needs_package)
    needs = list(entry.needs.values())[1:]
    if "group_size" in entry.options:
        options = {"group_size": 16} | options
    result: Tensor = entry.function(weight, *(makers[need]() for need in needs), **entry.bind(options))
    return result


@pytest.fixture
def layer() -> tuple[Tensor, Tensor]:
    """A weight [24, 64] and inputs [256, 64] that go together; feature 3 is dead."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(256, 64, generator=generator) @ torch.randn(64, 64, generator=generator)
    inputs[:, 3] = 0
    return torch.randn(24, 64, generator=generator), inputs


@pytest.mark.parametrize("entry", list(METHODS), ids=name)
def test_it_says_where_it_comes_from_and_what_it_does(entry: Entry) -> None:
    assert entry.about.source
    assert entry.summary.endswith(".") or entry.summary.endswith(":")
    assert next(iter(entry.needs)) in ("weight", "network")


@pytest.mark.parametrize("entry", LAYER_METHODS, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shape_and_dtype_stay_and_the_weight_given_is_left_alone(
    entry: Entry, dtype: torch.dtype, layer: tuple[Tensor, Tensor]
) -> None:
    weight, inputs = layer[0].to(dtype), layer[1].to(dtype)
    before = weight.clone()
    after = call(entry, weight, inputs)
    assert (after.shape, after.dtype) == (weight.shape, dtype)
    assert torch.equal(weight, before)
    assert after.isfinite().all()


@pytest.mark.parametrize("entry", PRUNING, ids=name)
def test_sparsity_0_is_the_identity(entry: Entry, layer: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(call(entry, *layer, sparsity=0.0), layer[0])


@pytest.mark.parametrize("entry", PRUNING, ids=name)
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_the_sparsity_asked_for_is_reached(entry: Entry, sparsity: float, layer: tuple[Tensor, Tensor]) -> None:
    after = call(entry, *layer, sparsity=sparsity)
    assert abs(float((after == 0).float().mean()) - sparsity) < 0.03


@pytest.mark.parametrize("entry", PRUNING, ids=name)
@pytest.mark.parametrize(("pattern", "kept", "group"), [("2:4", 2, 4), ("4:8", 4, 8), ("1:4", 1, 4), ("3:16", 3, 16)])
def test_the_pattern_holds_in_every_group(
    entry: Entry, pattern: str, kept: int, group: int, layer: tuple[Tensor, Tensor]
) -> None:
    alive = call(entry, *layer, pattern=pattern).reshape(-1, group) != 0
    assert (alive.sum(dim=1) <= kept).all()
    assert (alive.sum(dim=1) == kept).float().mean() > 0.9  # a dead feature may take a place


@pytest.mark.parametrize("entry", PRUNING, ids=name)
@pytest.mark.parametrize(("kept", "group"), [(20, 60), (150, 300), (30, 600)])
def test_a_pattern_of_long_groups_holds(entry: Entry, kept: int, group: int) -> None:
    weight, inputs = torch.randn(2, 4, 600, generator=torch.Generator().manual_seed(2))
    blocks = {"block_size": 600} if "block_size" in entry.options else {}
    alive = call(entry, weight, inputs, pattern=f"{kept}:{group}", **blocks).reshape(-1, group) != 0
    assert (alive.sum(dim=1) == kept).all()


@pytest.mark.parametrize("entry", GRIDS, ids=name)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_group_holds_no_more_values_than_its_bits_can_tell(
    entry: Entry, bits: int, symmetric: bool, layer: tuple[Tensor, Tensor]
) -> None:
    groups = call(entry, *layer, bits=bits, symmetric=symmetric).reshape(-1, 16)
    assert max(len(group.unique()) for group in groups) <= min(2**bits, 16)


@pytest.mark.parametrize("entry", GRIDS, ids=name)
def test_more_bits_bring_the_outputs_closer(entry: Entry, layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    errors = [output_error(weight, call(entry, weight, inputs, bits=bits), inputs) for bits in (2, 3, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("entry", QUANTIZATION, ids=name)
def test_a_pruned_weight_stays_zero(entry: Entry, layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    mask = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    after = call(entry, weight.masked_fill(mask, 0.0), inputs)
    assert (after[mask] == 0).all()


@pytest.mark.parametrize("entry", LAYER_METHODS, ids=name)
def test_the_same_layer_gives_the_same_result(entry: Entry, layer: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(call(entry, *layer), call(entry, *layer))


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("wanda:sparsity=1.5", "sparsity must be below 1 (got '1.5')"),
        ("wanda:sparsity=-0.1", "sparsity must be at least 0"),
        ("wanda:sparsity=nan", "sparsity must"),
        ("wanda:pattern=4:2", "pattern must be 'unstructured' or n:m with 0 < n < m"),
        ("gptq:bits=1", "bits must be at least 2"),
        ("gptq:group_size=0", "group_size must be a number of input features"),
        ("sparsegpt:damping=0", "damping must be above 0"),
        ("wanda:sparsty=0.5", "did you mean 'sparsity'?"),
        ("llmcompressor:file=no/such.yaml", "file must be a recipe file of llm-compressor"),
        ("wnada", "did you mean 'wanda'?"),
    ],
)
def test_bad_options_are_refused_before_any_work(recipe: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_recipe(recipe)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
