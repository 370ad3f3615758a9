"""How far one model's next-token distribution is from another's, token by token: exactly, or at least."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 256  # per step: a vocabulary of 150,000 in float32 then takes 0.15 GB per model


class Compared(NamedTuple):
    """Per row: KL(dense || arm) in nats or a lower bound of it, and whether both put the same token first."""

    kl: Tensor
    agree: Tensor


class Likeliest(NamedTuple):
    """Per row: a model's k most probable next tokens, and the probability of all others together.

    ids       [rows, k] int32, the most probable first
    logprobs  [rows, k] float32, nats
    tail      [rows] float32, log-probability of all other tokens together; -inf if there are none
    """

    ids: Tensor
    logprobs: Tensor
    tail: Tensor


def compare(dense: Tensor, arm: Tensor) -> Compared:
    """Compare two models' logits [rows, vocabulary] for the same rows over the whole vocabulary.

    KL(dense || arm) = sum over tokens of p_dense (ln p_dense - ln p_arm), in float32 or more; rounding below 0 becomes
    0. Where the arm's vocabulary was padded or cut, the tokens that both have are compared.
    """
    import torch

    size = min(dense.shape[-1], arm.shape[-1])
    kl, agree = [], []
    for start in range(0, len(dense), ROWS):
        p, q = (_log_probabilities(logits[start : start + ROWS, :size]) for logits in (dense, arm))
        kl.append(_terms(p, q).sum(-1).clamp_min(0))
        agree.append(p.argmax(-1) == q.argmax(-1))
    return Compared(torch.cat(kl), torch.cat(agree))


def likeliest(logits: Tensor, k: int) -> Likeliest:
    """Return the k most probable tokens of every row of logits [rows, vocabulary], or all if there are fewer."""
    import torch

    pieces = []
    for start in range(0, len(logits), ROWS):
        logprobs = _log_probabilities(logits[start : start + ROWS])
        top = logprobs.topk(min(k, logprobs.shape[-1]))
        tail = logprobs.scatter(-1, top.indices, -math.inf).logsumexp(-1)
        pieces.append(Likeliest(top.indices.int(), top.values.float(), tail.float()))
    return Likeliest(*map(torch.cat, zip(*pieces, strict=True)))


def compare_likeliest(dense: Likeliest, arm: Tensor) -> Compared:
    """Compare one model's k tokens with another's logits [rows, vocabulary], for the same rows and vocabulary.

    KL over k + 1 outcomes: the k tokens, and all others as one class. Merging outcomes never raises KL (data-processing
    inequality), so this is a lower bound of the KL over the vocabulary, and equal to it if k is the whole vocabulary.
    """
    import torch

    kl, agree = [], []
    for start in range(0, len(arm), ROWS):
        ids, logprobs, tail = (column[start : start + ROWS] for column in dense)
        ids = ids.long()
        q = _log_probabilities(arm[start : start + ROWS])
        q_tail = q.scatter(-1, ids, -math.inf).logsumexp(-1)
        kl.append((_terms(logprobs, q.gather(-1, ids)).sum(-1) + _terms(tail, q_tail)).clamp_min(0))
        # Of equally probable tokens the first, as argmax takes it: half precision has many ties.
        first = ids.where(logprobs == logprobs[:, :1], q.shape[-1]).amin(-1)
        agree.append(first == q.argmax(-1))
    return Compared(torch.cat(kl), torch.cat(agree))


def _terms(p: Tensor, q: Tensor) -> Tensor:
    """Return p (ln p - ln q) from ln p and ln q, and 0 for a token that p rules out, where 0 * (-inf - x) is NaN."""
    import torch

    return torch.where(p.isneginf(), torch.zeros_like(p), p.exp() * (p - q))


def _log_probabilities(logits: Tensor) -> Tensor:
    import torch

    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
