"""KL divergence of two models' next tokens, against scipy and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from crushtest.engines.divergence import compare


def test_it_is_scipys_relative_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    dense, arm = torch.randn(600, 50, generator=generator) * 3, torch.randn(600, 50, generator=generator) * 3
    found = compare(dense, arm)
    expected = entropy(softmax(dense.double().numpy(), -1), softmax(arm.double().numpy(), -1), axis=-1)
    torch.testing.assert_close(found.kl.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    assert (found.agree == (dense.argmax(-1) == arm.argmax(-1))).all()


def test_by_hand() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4): 1/2 ln 2 + 1/2 ln(2/3)
    found = compare(torch.tensor([[0.0, 0.0]]), torch.log(torch.tensor([[0.25, 0.75]])))
    assert found.kl.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_a_model_does_not_differ_from_itself() -> None:
    logits = torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)) * 10
    found = compare(logits, logits.clone())
    assert found.kl.tolist() == [0.0] * 8
    assert bool(found.agree.all())


def test_tokens_ruled_out_and_half_precision_give_numbers() -> None:
    dense = torch.tensor([[1.0, 2.0, -math.inf]])
    assert compare(dense, torch.tensor([[1.0, 2.0, 0.0]])).kl.item() == pytest.approx(
        math.log((math.e + math.e**2 + 1) / (math.e + math.e**2))
    )
    half = torch.randn(4, 300, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16)
    assert compare(half, half * 2).kl.isfinite().all()


def test_a_padded_vocabulary_is_compared_on_what_both_have() -> None:
    dense = torch.tensor([[0.0, 1.0]])
    assert compare(dense, torch.tensor([[0.0, 1.0, 5.0]])).kl.item() == 0.0
