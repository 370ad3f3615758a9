"""KL divergence of two models' next tokens, against scipy and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from crushtest.engines.hf.kl import compare, compare_likeliest, likeliest


def test_it_is_scipys_relative_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    dense, arm = torch.randn(600, 50, generator=generator) * 3, torch.randn(600, 50, generator=generator) * 3
    compared = compare(dense, arm)
    expected = entropy(softmax(dense.double().numpy(), -1), softmax(arm.double().numpy(), -1), axis=-1)
    torch.testing.assert_close(compared.kl.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    assert (compared.agree == (dense.argmax(-1) == arm.argmax(-1))).all()


def test_by_hand() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4): 1/2 ln 2 + 1/2 ln(2/3)
    compared = compare(torch.tensor([[0.0, 0.0]]), torch.log(torch.tensor([[0.25, 0.75]])))
    assert compared.kl.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_a_model_does_not_differ_from_itself() -> None:
    logits = torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)) * 10
    compared = compare(logits, logits.clone())
    assert compared.kl.tolist() == [0.0] * 8
    assert bool(compared.agree.all())


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


def random_pair(seed: int, vocabulary: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a dense model and of an arm at this distance from it, in 40 rows."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(40, vocabulary, generator=generator) * 3
    return dense, dense + torch.randn(40, vocabulary, generator=generator) * scale


@given(
    seed=st.integers(0, 2**32),
    vocabulary=st.integers(2, 300),
    share=st.floats(0, 1),
    scale=st.sampled_from([0.1, 1, 9]),
)
def test_kept_tokens_give_a_lower_bound_and_the_exact_agreement(
    seed: int, vocabulary: int, share: float, scale: float
) -> None:
    dense, arm = random_pair(seed, vocabulary, scale)
    bound = compare_likeliest(likeliest(dense, max(1, round(share * vocabulary))), arm)
    exact = compare(dense, arm)
    assert (bound.kl <= exact.kl + 1e-5).all()
    assert (bound.kl >= 0).all()
    assert (bound.agree == exact.agree).all()


@given(
    seed=st.integers(0, 2**32), vocabulary=st.integers(2, 300), more=st.integers(0, 30), scale=st.sampled_from([0.1, 9])
)
def test_the_bound_is_exact_if_all_tokens_are_kept(seed: int, vocabulary: int, more: int, scale: float) -> None:
    dense, arm = random_pair(seed, vocabulary, scale)
    bound = compare_likeliest(likeliest(dense, vocabulary + more), arm)
    torch.testing.assert_close(bound.kl, compare(dense, arm).kl, rtol=1e-4, atol=1e-5)


def test_more_kept_tokens_give_a_higher_bound() -> None:
    dense, arm = random_pair(4, 300, 3.0)
    means = [compare_likeliest(likeliest(dense, k), arm).kl.mean() for k in (1, 4, 32, 299)]
    assert means == sorted(means)
    assert means[0] < means[-1]


def test_the_bound_by_hand() -> None:
    p, q = torch.tensor([[0.1, 0.45, 0.2, 0.25]]), torch.tensor([[0.4, 0.1, 0.35, 0.15]])
    kept = 0.45 * math.log(0.45 / 0.1) + 0.25 * math.log(0.25 / 0.15)
    bound = compare_likeliest(likeliest(p.log(), 2), q.log())
    assert bound.kl.item() == pytest.approx(kept + 0.3 * math.log(0.3 / 0.75))


def test_of_equally_likely_first_choices_both_ways_take_the_same() -> None:
    dense = torch.randint(0, 4, (500, 60), generator=torch.Generator().manual_seed(5)).to(torch.bfloat16)
    arm = torch.randint(0, 4, (500, 60), generator=torch.Generator().manual_seed(6)).to(torch.bfloat16)
    agree = compare_likeliest(likeliest(dense, 40), arm).agree
    assert (agree == compare(dense, arm).agree).all()
    assert agree.any()
