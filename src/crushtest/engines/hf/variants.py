"""What some models add to attention: a soft cap on the scores, a sink that takes a share of them, a sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

# What a layer may hand to its attention and ours does not compute.
UNSUPPORTED = ("position_bias",)
# Queries whose scores are held at once.
BLOCK = 128


@dataclass(frozen=True)
class Variant:
    """One layer's attention.

    scaling  of the scores; None for 1 / sqrt(head size)
    softcap  scores are `softcap * tanh(scores / softcap)`
    sinks    [heads] score of a key that has no value
    window   tokens that a token sees, itself included
    """

    scaling: float | None
    softcap: float | None = None
    sinks: Tensor | None = None
    window: int | None = None

    @property
    def written_out(self) -> bool:
        """True if PyTorch's own attention does not compute it."""
        return self.softcap is not None or self.sinks is not None


def variant_of(scaling: float | None, options: Mapping[str, Any]) -> Variant:
    """Return the variant that a layer asks for. EngineError for one that is not computed here."""
    for name in UNSUPPORTED:
        if options.get(name) is not None:
            raise EngineError(f"packed attention does not support {name}")
    return Variant(scaling, options.get("softcap"), options.get("s_aux"), options.get("sliding_window"))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, variant: Variant) -> Tensor:
    """Return what each query reads: [rows, heads, queries, value size].

    query [rows, heads, queries, size], key and value [rows, key heads, keys, size], mask [rows, 1, queries, keys] is
    added to the scores. The window must be in the mask.
    """
    import torch

    grouped = query.shape[1] != key.shape[1]
    if not variant.written_out:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=variant.scaling, enable_gqa=grouped
        )
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) if grouped else tensor for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if variant.scaling is None else variant.scaling)
    if variant.softcap is not None:
        scores = torch.tanh(scores / variant.softcap) * variant.softcap
    wide = torch.promote_types(scores.dtype, torch.float32)
    scores = scores.to(wide) if mask is None else scores.to(wide) + mask
    if variant.sinks is not None:
        sink = variant.sinks.to(wide)[None, :, None, None].expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return weights.to(value.dtype) @ value


def attend_causally(query: Tensor, key: Tensor, value: Tensor, variant: Variant) -> Tensor:
    """Return what each token of one line reads: [heads, tokens, size] each -> [heads, tokens, value size]."""
    import torch

    count, grouped = query.shape[1], len(query) != len(key)
    window = count if variant.window is None else min(variant.window, count)
    if not variant.written_out and window == count:
        answer = torch.nn.functional.scaled_dot_product_attention(
            query[None],
            key[None],
            value[None],
            is_causal=True,
            scale=variant.scaling,
            enable_gqa=grouped,
        )
        return answer[0]
    answers = []
    for first in range(0, count, BLOCK):
        stop, oldest = min(first + BLOCK, count), max(first - window + 1, 0)
        here = torch.arange(first, stop, device=query.device)[:, None]
        age = here - torch.arange(oldest, stop, device=query.device)
        mask = torch.zeros(age.shape, dtype=query.dtype, device=query.device)
        mask = mask.masked_fill_((age < 0) | (age >= window), float("-inf"))[None, None]
        keys, values = key[None, :, oldest:stop], value[None, :, oldest:stop]
        answers.append(attend(query[None, :, first:stop], keys, values, mask, variant)[0])
    return torch.cat(answers, dim=1)
