"""Statistics: built up batch by batch, they are those of all activations at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crushtest.compress import InputGram, InputNorm, WeightGradient
from crushtest.errors import CompressionError
from crushtest.models.threads import on_threads


@pytest.fixture
def activations() -> Tensor:
    return torch.randn(6, 20, 700, generator=torch.Generator().manual_seed(0))


def test_norm_is_sum_of_squares_over_sequences(activations: Tensor) -> None:
    norm = InputNorm.from_activations(activations)
    torch.testing.assert_close(norm.mean_square, activations.reshape(-1, 700).square().sum(0) / 6)


def test_gram_is_twice_xtx_over_sequences_whatever_its_tiles(activations: Tensor) -> None:
    rows = activations.reshape(-1, 700).double()
    gram = InputGram.from_activations(activations)
    torch.testing.assert_close(gram.matrix.double(), 2 * rows.T @ rows / 6, rtol=1e-4, atol=1e-4)
    assert torch.equal(gram.matrix, gram.matrix.T)


def test_batches_add_up(activations: Tensor) -> None:
    whole, parts = InputGram.from_activations(activations), InputGram()
    for batch in activations.split(4):
        parts.add(batch)
    torch.testing.assert_close(parts.matrix, whole.matrix, rtol=1e-4, atol=1e-4)
    by_sequence = InputNorm()
    for sequence in activations:
        by_sequence.add(sequence)
    torch.testing.assert_close(by_sequence.norm, InputNorm.from_activations(activations).norm)


def test_the_factor_inverts_the_damped_matrix() -> None:
    gram = InputGram.from_activations(torch.randn(300, 50, generator=torch.Generator().manual_seed(1)))
    upper = gram.inverse_factor(0.01).upper.double()
    damped = gram.matrix.double()
    damped.diagonal().add_(0.01 * damped.diagonal().mean())
    torch.testing.assert_close(upper.T @ upper @ damped, torch.eye(50).double(), rtol=0, atol=1e-4)
    assert torch.equal(upper, upper.triu())


def test_the_factor_is_the_same_bit_for_bit_on_any_number_of_threads() -> None:
    """Of one matrix: its own product is the same on any number of threads on some processors only."""
    activations = torch.randn(1024, 576, generator=torch.Generator().manual_seed(0))
    grams = []
    for _ in range(2):
        with on_threads(1):
            grams.append(InputGram.from_activations(activations))
    assert torch.equal(grams[0].matrix, grams[1].matrix)
    uppers = []
    for gram, threads in zip(grams, (1, 2), strict=True):
        with on_threads(threads):
            uppers.append(gram.inverse_factor(0.01).upper)
    assert torch.equal(*uppers)


def test_the_factor_is_computed_once_for_all_who_ask() -> None:
    gram = InputGram.from_activations(torch.randn(30, 8))
    first = gram.inverse_factor(0.01)
    assert gram.inverse_factor(0.01) is first
    gram.add(torch.randn(30, 8))
    assert gram.inverse_factor(0.01) is not first


def test_a_matrix_that_cannot_be_factorised_asks_for_more_damping() -> None:
    # 40 equal features and 1 token: rank 1, and 1e-9 of damping is lost in float32
    gram = InputGram.from_activations(torch.full((1, 40), 1000.0))
    with pytest.raises(
        CompressionError, match=r"not positive definite with damping=1e-09; use more damping \(damping=1e-08\)"
    ):
        gram.inverse_factor(1e-9)


def test_gradients_add_up_as_root_of_squares_or_as_absolute_values() -> None:
    first, second = torch.tensor([[3.0, -1.0]]), torch.tensor([[-4.0, 2.0]])
    torch.testing.assert_close(WeightGradient(first, second).size, torch.tensor([[5.0, 5.0**0.5]]))
    torch.testing.assert_close(WeightGradient(first, second, norm="l1").size, torch.tensor([[7.0, 3.0]]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    activations = torch.ones(4, 3)
    activations[2, 1] = bad
    for statistic in (InputNorm, InputGram):
        with pytest.raises(CompressionError, match="NaN or infinity"):
            statistic.from_activations(activations)


def test_a_statistic_of_nothing_is_an_error() -> None:
    with pytest.raises(CompressionError, match="no calibration activations"):
        _ = InputNorm().norm
