"""What the papers claim of their methods, on inputs that go together."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from crushtest.compress import InputGram, InputNorm, gptq, magnitude, rtn, sparsegpt, wanda
from crushtest.compress.kernels.grids import QuantizedWeight
from crushtest.compress.layers.global_sparsity import allocate_sparsity
from crushtest.compress.layers.loop import output_error
from crushtest.compress.layers.structure import Linear


def error(weight: Tensor, after: Tensor, inputs: Tensor) -> float:
    measured = output_error(weight, after, inputs)
    assert measured is not None
    return measured


@pytest.mark.parametrize("options", [{"sparsity": 0.5}, {"sparsity": 0.7}, {"pattern": "2:4"}])
def test_sparsegpt_loses_less_than_wanda_and_wanda_less_than_magnitude(
    options: dict[str, object], correlated: tuple[Tensor, Tensor]
) -> None:
    weight, inputs = correlated
    by_sparsegpt = sparsegpt(weight, InputGram.from_activations(inputs), **options)  # type: ignore[arg-type]
    by_wanda = wanda(weight, InputNorm.from_activations(inputs), **options)  # type: ignore[arg-type]
    by_magnitude = magnitude(weight, **options)  # type: ignore[arg-type]
    errors = [error(weight, after, inputs) for after in (by_sparsegpt, by_wanda, by_magnitude)]
    assert errors == sorted(errors)
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_loses_less_than_rounding(bits: int, act_order: bool, correlated: tuple[Tensor, Tensor]) -> None:
    weight, inputs = correlated
    gram = InputGram.from_activations(inputs)
    ours = gptq(weight, gram, bits=bits, group_size=16, act_order=act_order)
    assert error(weight, ours, inputs) < error(weight, rtn(weight, bits=bits, group_size=16), inputs)


def test_wanda_prunes_every_row_equally(correlated: tuple[Tensor, Tensor]) -> None:
    weight, inputs = correlated
    zeros = (wanda(weight, InputNorm.from_activations(inputs), sparsity=0.3) == 0).sum(dim=1)
    assert zeros.unique().tolist() == [int(64 * 0.3)]


def test_wanda_keeps_a_small_weight_on_a_large_input() -> None:
    weight, inputs = torch.tensor([[1.0, 0.2]]), torch.tensor([[0.1, 10.0]])
    assert torch.equal(wanda(weight, InputNorm.from_activations(inputs)), torch.tensor([[0.0, 0.2]]))
    assert torch.equal(
        magnitude(torch.tensor([[1.0, 0.2, 0.3, 2.0]]), pattern="2:4"), torch.tensor([[1.0, 0.0, 0.0, 2.0]])
    )


def test_of_equal_scores_the_first_are_pruned() -> None:
    norm = InputNorm.from_activations(torch.ones(1, 8))
    alive = wanda(torch.ones(1, 8), norm, sparsity=0.5) != 0
    assert alive.tolist() == [[False] * 4 + [True] * 4]
    assert (wanda(torch.ones(1, 8), norm, pattern="2:4") != 0).tolist() == [[False, False, True, True] * 2]


def test_a_layer_below_the_threshold_of_the_whole_model_is_pruned_whole() -> None:
    small, large = torch.linspace(0.001, 0.004, 16).reshape(4, 4), torch.linspace(1.0, 4.0, 48).reshape(4, 12)
    linears = []
    for name, weight in (("small", small), ("large", large)):
        module = torch.nn.Linear(weight.shape[1], weight.shape[0])
        module.weight.data = weight
        linears.append(Linear(name, module, 0))
    shares = allocate_sparsity(linears, 0.5)
    assert shares["small"] == 1.0
    assert (magnitude(small, sparsity=shares["small"]) == 0).all()
    assert abs(float((magnitude(large, sparsity=shares["large"]) == 0).float().sum()) - 16) <= 1


def test_sparsegpt_moves_what_a_pruned_weight_did_to_its_twin() -> None:
    # two inputs that are always equal: pruning one weight loses nothing if the other takes over
    feature = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    inputs = torch.cat([feature, feature], dim=1)
    after = sparsegpt(torch.tensor([[1.0, 3.0]]), InputGram.from_activations(inputs), sparsity=0.3, damping=1e-4)
    torch.testing.assert_close(after, torch.tensor([[0.0, 4.0]]), rtol=1e-3, atol=1e-3)


def test_blocks_and_strips_only_change_the_order_of_the_corrections(correlated: tuple[Tensor, Tensor]) -> None:
    weight, inputs = correlated
    gram = InputGram.from_activations(inputs)
    torch.testing.assert_close(
        gptq(weight, gram, group_size="channel", block_size=64), gptq(weight, gram, group_size="channel", block_size=1)
    )
    wide = sparsegpt(weight, gram, pattern="2:4", block_size=64)
    torch.testing.assert_close(wide, sparsegpt(weight, gram, pattern="2:4", block_size=4), rtol=1e-3, atol=1e-4)


def test_a_dead_feature_gets_weight_0(correlated: tuple[Tensor, Tensor]) -> None:
    weight, inputs = correlated
    gram = InputGram.from_activations(inputs)
    assert (sparsegpt(weight, gram, sparsity=0.1)[:, 5] == 0).all()
    assert (gptq(weight, gram, group_size=16)[:, 5] == 0).all()


def test_rounding_by_hand() -> None:
    # 2 bits over [-1, 2]: step 1, zero at 1; 0.4 -> 0, 1.6 -> 2
    after = rtn(torch.tensor([[-1.0, 0.4, 1.6, 2.0]]), bits=2, group_size=4)
    assert after.tolist() == [[-1.0, 0.0, 2.0, 2.0]]
    # symmetric over [-1.5, 1.5]: step 1, zero at 2, so -2 .. 1
    assert rtn(torch.tensor([[-1.5, 0.4, 1.5, 0.9]]), bits=2, group_size=4, symmetric=True).tolist() == [
        [-2.0, 0.0, 1.0, 1.0]
    ]
    # a symmetric grid is one without negative weights, too
    assert rtn(torch.tensor([[0.0, 0.6, 1.5, 0.0]]), bits=2, group_size=4, symmetric=True).tolist() == [
        [0.0, 1.0, 1.0, 0.0]
    ]


def test_gptq_fits_a_grid_for_whole_rows_to_dead_inputs_too(correlated: tuple[Tensor, Tensor]) -> None:
    weight, inputs = correlated
    weight[:, 5] = 10.0  # the dead one
    quantize = inspect.unwrap(gptq)
    gram = InputGram.from_activations(inputs)
    plain, ordered = (quantize(weight, gram, group_size="channel", act_order=order) for order in (False, True))
    assert isinstance(plain, QuantizedWeight)
    assert isinstance(ordered, QuantizedWeight)
    assert torch.equal(plain.scale, ordered.scale)
