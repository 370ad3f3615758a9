"""How far the next-token distribution of one model is from another's, token by token: exactly, or between bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 256  # at a time: a vocabulary of 150,000 in float32 then takes 0.15 GB a model


class Compared(NamedTuple):
    """Per row: KL(dense || arm) in nats, and whether both have the same most likely token."""

    kl: Tensor
    agree: Tensor


class Likeliest(NamedTuple):
    """Per row: a model's k likeliest next tokens, and what all others have together.

    ids       [rows, k] int32, the likeliest first
    logprobs  [rows, k] float32, nats
    tail      [rows] float32, logarithm of the probability of all others; -inf where there are none
    """

    ids: Tensor
    logprobs: Tensor
    tail: Tensor


class Bounded(NamedTuple):
    """Per row: what KL(dense || arm) is at least and at most, in nats, and whether both have the same first choice."""

    at_least: Tensor
    at_most: Tensor
    agree: Tensor


def compare(dense: Tensor, arm: Tensor) -> Compared:
    """Two models' logits [rows, vocabulary] for the same rows, compared over the whole vocabulary.

    KL(dense || arm) = sum over tokens of p_dense (ln p_dense - ln p_arm), in float32 or more; rounding below 0 becomes
    0. Where the arm's vocabulary was padded or cut, the tokens that both have are compared.
    """
    import torch

    size = min(dense.shape[-1], arm.shape[-1])
    kl, agree = [], []
    for start in range(0, len(dense), ROWS):
        one, other = (_log_probabilities(logits[start : start + ROWS, :size]) for logits in (dense, arm))
        kl.append(_terms(one, other).sum(-1).clamp_min(0))
        agree.append(one.argmax(-1) == other.argmax(-1))
    return Compared(torch.cat(kl), torch.cat(agree))


def likeliest(logits: Tensor, k: int) -> Likeliest:
    """The k likeliest tokens of every row of logits [rows, vocabulary]; all of them where there are no more."""
    import torch

    found = []
    for start in range(0, len(logits), ROWS):
        own = _log_probabilities(logits[start : start + ROWS])
        top = own.topk(min(k, own.shape[-1]))
        rest = own.scatter(-1, top.indices, -math.inf).logsumexp(-1)
        found.append(Likeliest(top.indices.int(), top.values.float(), rest.float()))
    return Likeliest(*map(torch.cat, zip(*found, strict=True)))


def compare_likeliest(dense: Likeliest, arm: Tensor) -> Bounded:
    """The likeliest tokens of one model against another's logits [rows, vocabulary], for the same rows and vocabulary.

    The k tokens' terms of KL(dense || arm) are exact. Those of the others, which the dense model gives p together, are
    at least    p ln(p / q), q being what the arm gives these others together (the log-sum inequality)
    at most     p ln(min(p, p_k) / q_least): none has more of p than the k-th token has, or less of the arm than its
                least likely other token
    """
    import torch

    at_least, at_most, agree = [], [], []
    for start in range(0, len(arm), ROWS):
        ids, logprobs, tail = (column[start : start + ROWS] for column in dense)
        ids = ids.long()
        own = _log_probabilities(arm[start : start + ROWS])
        known = _terms(logprobs, own.gather(-1, ids)).sum(-1)
        others, least = own.scatter(-1, ids, -math.inf).logsumexp(-1), own.scatter(-1, ids, math.inf).amin(-1)
        low = (known + _terms(tail, others)).clamp_min(0)
        highest = torch.minimum(tail, logprobs[:, -1])
        high = known + torch.where(tail.isneginf(), torch.zeros_like(tail), tail.exp() * (highest - least))
        at_least.append(low)
        at_most.append(torch.maximum(low, high))
        # Of equally likely tokens the first, as argmax has it: half precision has many.
        first = ids.where(logprobs == logprobs[:, :1], own.shape[-1]).amin(-1)
        agree.append(first == own.argmax(-1))
    return Bounded(torch.cat(at_least), torch.cat(at_most), torch.cat(agree))


def _terms(one: Tensor, other: Tensor) -> Tensor:
    """p (ln p - ln q) from ln p and ln q; a token that p rules out adds nothing, where 0 * (-inf - x) would be NaN."""
    import torch

    return torch.where(one.isneginf(), torch.zeros_like(one), one.exp() * (one - other))


def _log_probabilities(logits: Tensor) -> Tensor:
    import torch

    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
