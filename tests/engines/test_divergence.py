"""KL divergence of two models' next tokens, against scipy and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from crushtest.engines.hf.kl import compare, compare_likeliest, likeliest


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


@pytest.mark.parametrize("k", [50, 80])
def test_the_likeliest_of_a_whole_vocabulary_give_the_exact_numbers(k: int) -> None:
    generator = torch.Generator().manual_seed(3)
    dense, arm = torch.randn(600, 50, generator=generator) * 3, torch.randn(600, 50, generator=generator) * 3
    exact, bounded = compare(dense, arm), compare_likeliest(likeliest(dense, k), arm)
    torch.testing.assert_close(bounded.at_least, exact.kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bounded.at_most, bounded.at_least)
    assert (bounded.agree == exact.agree).all()


@pytest.mark.parametrize("k", [1, 4, 32])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_exact_number_is_between_the_bounds(k: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    dense = torch.randn(600, 300, generator=generator) * 3
    arm = dense + torch.randn(600, 300, generator=generator) * scale
    exact, bounded = compare(dense, arm), compare_likeliest(likeliest(dense, k), arm)
    assert (bounded.at_least <= exact.kl + 1e-5).all()
    assert (exact.kl <= bounded.at_most + 1e-5).all()
    assert bounded.at_least.mean() < exact.kl.mean() < bounded.at_most.mean()
    assert (bounded.agree == exact.agree).all()


def test_bounds_by_hand() -> None:
    p, q = torch.tensor([[0.1, 0.45, 0.2, 0.25]]), torch.tensor([[0.4, 0.1, 0.35, 0.15]])
    found = compare_likeliest(likeliest(p.log(), 2), q.log())
    known = 0.45 * math.log(0.45 / 0.1) + 0.25 * math.log(0.25 / 0.15)
    assert found.at_least.item() == pytest.approx(known + 0.3 * math.log(0.3 / 0.75))
    # No other token can have more than the second likeliest, 0.25; the arm's least likely other one has 0.35.
    assert found.at_most.item() == pytest.approx(known + 0.3 * math.log(0.25 / 0.35))
    # All others together have less than the first.
    found = compare_likeliest(likeliest(torch.tensor([[0.9, 0.06, 0.04]]).log(), 1), torch.full((1, 3), 1 / 3).log())
    assert found.at_most.item() == pytest.approx(0.9 * math.log(2.7) + 0.1 * math.log(0.3))


def test_of_equally_likely_first_choices_both_ways_take_the_same() -> None:
    dense = torch.randint(0, 4, (500, 60), generator=torch.Generator().manual_seed(5)).to(torch.bfloat16)
    arm = torch.randint(0, 4, (500, 60), generator=torch.Generator().manual_seed(6)).to(torch.bfloat16)
    agree = compare_likeliest(likeliest(dense, 40), arm).agree
    assert (agree == compare(dense, arm).agree).all()
    assert agree.any()
