"""Attention over a pack of trie nodes: every node sees its own ancestors, and nothing is computed for the others.

A full mask over a pack of 2048 nodes would cost more than all of a small model's matrices. But nodes stand in
depth-first order, so the ancestors of a short chunk of them are: the ancestors of its first node, and nodes of the
chunk itself. Each chunk therefore attends to the trunk, to those ancestors and to itself, under a small mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crushtest.engines.packing import Ints, Pack
from crushtest.errors import EngineError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NAME = "crushtest_packed"
# Attention variants that a call may ask for and that a pack cannot honour.
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class Chunks:
    """Chunks of a pack, all of one length, that reach back to about as many ancestors: attended in one call.

    queries  [chunks * length] the chunks' own nodes
    keys     [chunks, reach + length] the nodes they look at: ancestors, then themselves
    mask     [chunks, 1, length, trunk tokens + reach + length] added to the scores: 0 or -inf
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor


@dataclass
class Kept:
    """Keys and values of a pack's nodes, one entry a layer: [key heads, nodes, head size]."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """What attention needs to know of one pack, the same in all layers.

    trunk   the pieces of the trunk that the pack continues, from the root on
    keep    where to leave the pack's own keys and values; None where nobody needs them
    """

    chunks: list[Chunks]
    trunk: Sequence[Kept] = ()
    keep: Kept | None = None


def lay_out(pack: Pack, length: int, *, dtype: torch.dtype, device: torch.device) -> list[Chunks]:
    """A pack cut into chunks of `length` nodes (the last may be shorter), grouped by how far they reach back."""
    nodes = len(pack.tokens)
    groups: dict[tuple[int, int], list[tuple[Ints, Ints]]] = {}
    for first in range(0, nodes, length):
        queries = np.arange(first, min(first + length, nodes))
        ancestors = np.flatnonzero(pack.end[:first] > first)
        groups.setdefault((_rounded(len(ancestors), length), len(queries)), []).append((queries, ancestors))
    trunk_tokens = int(pack.depth[0])
    return [_chunks(pack, members, reach, trunk_tokens, dtype, device) for (reach, _), members in groups.items()]


def _rounded(count: int, length: int) -> int:
    """A count of ancestors rounded up, so that chunks of similar reach share a call without much padding."""
    step = max(length // 2, count // 4)
    return -(-count // step) * step


def _chunks(
    pack: Pack,
    members: list[tuple[Ints, Ints]],
    reach: int,
    trunk_tokens: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Chunks:
    import torch

    queries = np.stack([asking for asking, _ in members])
    reached = np.full((len(members), reach), -1)
    for row, (_, ancestors) in enumerate(members):
        reached[row, : len(ancestors)] = ancestors
    keys = np.concatenate([reached, queries], axis=1)
    asking, asked = queries[:, :, None], keys[:, None, :]
    visible = (asked >= 0) & (asked <= asking) & (asking < pack.end[keys][:, None, :])
    visible = np.pad(visible, ((0, 0), (0, 0), (trunk_tokens, 0)), constant_values=True)
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(torch.from_numpy(~visible), float("-inf"))
    return Chunks(
        torch.from_numpy(queries.ravel()).to(device),
        torch.from_numpy(np.maximum(keys, 0)).to(device),
        mask[:, None].to(device),
    )


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    pack: Layout,
    scaling: float | None = None,
    **variant: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [1, heads, nodes, size], key and value [1, key heads, nodes, size].

    Returns [1, nodes, heads, size]. EngineError where the model asks for a kind of attention that a pack cannot have.
    """
    for name in UNSUPPORTED:
        if variant.get(name) is not None:
            raise EngineError(f"packed attention does not support {name}")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    query, key, value = query[0], key[0], value[0]
    if pack.keep is not None:
        pack.keep.keys.append(key)
        pack.keep.values.append(value)
    result = query.new_empty(query.shape[1], query.shape[0], value.shape[-1])
    for chunks in pack.chunks:
        keys = _with_trunk([piece.keys[layer] for piece in pack.trunk], key[:, chunks.keys])
        values = _with_trunk([piece.values[layer] for piece in pack.trunk], value[:, chunks.keys])
        result[chunks.queries] = _attend(query[:, chunks.queries], keys, values, chunks.mask, scaling)
    return result[None], None


def _with_trunk(trunk: list[Tensor], own: Tensor) -> Tensor:
    """[key heads, chunks, keys, size] with the trunk's [key heads, tokens, size] before each chunk's own."""
    import torch

    heads, chunks, _, size = own.shape
    pieces = [piece[:, None].expand(heads, chunks, piece.shape[1], size) for piece in trunk]
    return torch.cat([*pieces, own], dim=2) if pieces else own


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Query [heads, chunks * length, size], keys [key heads, chunks, keys, size] -> [chunks * length, heads, size]."""
    import torch

    heads, _, size = query.shape
    key_heads, chunks, _, _ = keys.shape
    answer = torch.nn.functional.scaled_dot_product_attention(
        query.view(heads, chunks, -1, size).transpose(0, 1),
        keys.transpose(0, 1),
        values.transpose(0, 1),
        attn_mask=mask,
        scale=scaling,
        enable_gqa=heads != key_heads,
    )
    return answer.transpose(1, 2).reshape(-1, heads, values.shape[-1])
