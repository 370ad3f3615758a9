"""Attention over a pack of trie nodes: every node sees its own ancestors, and nothing is computed for the others.

A full mask over a pack of 2048 nodes would cost more than all of a small model's matrices. But nodes stand in
depth-first order, so the ancestors of a short chunk of them are: the ancestors of its first node, and nodes of the
chunk itself. Each chunk therefore attends to the trunk, to those ancestors and to itself, under a small mask.

Where nothing branches, as in a pack of long passages, plain causal attention does without masks and copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crushtest.engines.hf.variants import Variant, attend, attend_causally, variant_of
from crushtest.engines.packing import Ints, Pack

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NAME = "crushtest_packed"


@dataclass(frozen=True)
class Chunks:
    """Consecutive nodes of a layout, in chunks of one length that reach back about as far: attended in one call.

    nodes     where they are in the layout's order
    keys      [chunks * (reach + length)] the nodes each chunk looks at: ancestors, then itself
    mask      [chunks, 1, length, trunk tokens + reach + length] added to the scores: 0 or -inf
    depths    of the queries [chunks, 1, length, 1] and of the keys [chunks, 1, 1, trunk tokens + reach + length]
    windowed  the mask under sliding windows, by their length, as layers ask for it
    """

    nodes: slice
    keys: Tensor
    mask: Tensor
    depths: tuple[Ints, Ints]
    windowed: dict[int, Tensor] = field(default_factory=dict)

    def mask_within(self, window: int | None) -> Tensor:
        """Return the mask under a sliding window; None for no window."""
        import torch

        if window is None:
            return self.mask
        if window not in self.windowed:
            asking, asked = self.depths
            beyond = torch.from_numpy(asking - asked >= window).to(self.mask.device)
            self.windowed[window] = self.mask.masked_fill(beyond, float("-inf"))
        return self.windowed[window]

    def on(self, device: torch.device) -> Chunks:
        """Return the same chunks for attention on another device."""
        return replace(self, keys=self.keys.to(device), mask=self.mask.to(device), windowed={})


@dataclass
class Kept:
    """Keys and values of a pack's nodes, one entry per call of attention: [key heads, nodes, head size].

    Calls come in the same order in every run, and a layer that is run more than once reads what it wrote that time.
    """

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """A pack as the network runs it once, and what attention needs to know of it, the same in all layers.

    order     [nodes] the pack's nodes in the order in which they are run: group of chunks by group of chunks
    place     [nodes] where each of the pack's nodes is in that order
    chunks    what is attended together; empty if the pack is nothing but long paths
    paths     the nodes of each path from the root, if the pack is nothing but long paths; else empty
    length    tokens of the longest path, trunk included: a sliding window that is as long hides nothing
    trunk     the pieces of the trunk that the pack continues, from the root on
    keep      where to leave the nodes' keys and values, in the pack's order; None if nobody needs them
    calls     counts the calls of attention, on whatever device
    """

    order: Tensor
    place: Tensor
    chunks: list[Chunks]
    paths: list[slice]
    length: int
    trunk: Sequence[Kept] = ()
    keep: Kept | None = None
    calls: Iterator[int] = field(default_factory=count)
    _elsewhere: dict[torch.device, Layout] = field(default_factory=dict)

    def on(self, device: torch.device) -> Layout:
        """Return the layout for layers on a device: a network may be spread over several. Copied once for each."""
        if device == self.order.device:
            return self
        if device not in self._elsewhere:
            chunks = [some.on(device) for some in self.chunks]
            self._elsewhere[device] = replace(
                self, order=self.order.to(device), place=self.place.to(device), chunks=chunks
            )
        return self._elsewhere[device]


def lay_out(
    pack: Pack, *, dtype: torch.dtype, device: torch.device, trunk: Sequence[Kept] = (), keep: Kept | None = None
) -> Layout:
    """Return a pack as its long paths, or as chunks of one length (the last may be shorter) grouped by their reach."""
    nodes, length = len(pack.tokens), chunk_length(pack)
    longest = int(pack.depth.max()) + 1
    paths = root_paths(pack)
    if paths and len(paths) * length <= nodes:
        here = _tensor(np.arange(nodes), device)
        return Layout(here, here, [], paths, longest, trunk, keep)
    groups: dict[tuple[int, int], list[tuple[Ints, Ints]]] = {}
    for first in range(0, nodes, length):
        queries = np.arange(first, min(first + length, nodes))
        ancestors = np.flatnonzero(pack.end[:first] > first)
        groups.setdefault((_rounded(len(ancestors), length), len(queries)), []).append((queries, ancestors))
    order = np.concatenate([queries for members in groups.values() for queries, _ in members])
    place = np.empty(nodes, dtype=np.int64)
    place[order] = np.arange(nodes)
    chunks, first = [], 0
    for (reach, size), members in groups.items():
        keys, visible = _sight(pack, members, reach)
        before = int(pack.depth[0])
        visible = np.pad(visible, ((0, 0), (0, 0), (before, 0)), constant_values=True)
        mask = torch_mask(visible, dtype).to(device)
        nodes_here = slice(first, first + size * len(members))
        keys_here = _tensor(place[keys].ravel(), device)
        asking = pack.depth[np.stack([queries for queries, _ in members])][:, None, :, None]
        asked = np.concatenate([np.tile(np.arange(before), (len(keys), 1)), pack.depth[keys]], axis=1)[:, None, None]
        chunks.append(Chunks(nodes_here, keys_here, mask, (asking, asked)))
        first += size * len(members)
    return Layout(_tensor(order, device), _tensor(place, device), chunks, [], longest, trunk, keep)


def root_paths(pack: Pack) -> list[slice]:
    """Return where each path is, if a pack is nothing but unbranched paths from the root; else an empty list."""
    starts = np.flatnonzero(pack.depth == 0)
    stops = np.append(starts[1:], len(pack.tokens))
    lengths = stops - starts
    if not len(starts) or starts[0] != 0 or not np.array_equal(pack.end, np.repeat(stops, lengths)):
        return []
    return [slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def chunk_length(pack: Pack) -> int:
    """Return the nodes per chunk, a power of two between 32 and 512.

    A longer chunk computes more that is then masked, a shorter one copies its ancestors' keys for fewer nodes; a copied
    key costs some 30 times what a computed score does, so the least of `length + 30 * reach / length` is near
    the square root of 30 * reach.
    """
    best = np.sqrt(30 * (1 + pack.depth.mean()))
    return int(2 ** np.clip(np.round(np.log2(best)), 5, 9))


def _rounded(count: int, length: int) -> int:
    """Round a count of ancestors up, so that chunks of similar reach share a call without much padding."""
    step = max(length, count // 4)
    return -(-count // step) * step


def _sight(pack: Pack, members: list[tuple[Ints, Ints]], reach: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the nodes that each chunk looks at [chunks, keys], and which of these each of its nodes sees."""
    queries = np.stack([asking for asking, _ in members])
    reached = np.full((len(members), reach), -1)
    for row, (_, ancestors) in enumerate(members):
        reached[row, : len(ancestors)] = ancestors
    keys = np.concatenate([reached, queries], axis=1)
    asking, asked = queries[:, :, None], keys[:, None, :]
    visible = (asked >= 0) & (asked <= asking) & (asking < pack.end[keys][:, None, :])
    return np.maximum(keys, 0), visible


def torch_mask(visible: NDArray[np.bool_], dtype: torch.dtype) -> Tensor:
    """Turn what is seen [chunks, queries, keys] into what is added to the scores [chunks, 1, queries, keys]."""
    import torch

    hidden = torch.from_numpy(~visible)[:, None]
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))


def _tensor(values: Ints, device: torch.device) -> Tensor:
    import torch

    return torch.from_numpy(values).to(device)


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
    """Be transformers' attention: query [1, heads, nodes, size], key and value [1, key heads, nodes, size].

    Returns [1, nodes, heads, size]. EngineError if the model asks for a kind of attention that a pack cannot have.
    """
    import torch

    pack = pack.on(query.device)
    wanted = variant_of(scaling, variant)
    window = None if wanted.window is None or wanted.window >= pack.length else wanted.window
    call = next(pack.calls)
    query, key, value = query[0], key[0], value[0]
    if pack.keep is not None:
        pack.keep.keys.append(key[:, pack.place])
        pack.keep.values.append(value[:, pack.place])
    answers = [
        attend_causally(query[:, path], key[:, path], value[:, path], wanted).transpose(0, 1) for path in pack.paths
    ]
    for chunks in pack.chunks:
        keys = _seen(key, chunks, [piece.keys[call] for piece in pack.trunk])
        values = _seen(value, chunks, [piece.values[call] for piece in pack.trunk])
        answers.append(_attend(query[:, chunks.nodes], keys, values, chunks.mask_within(window), wanted))
    return torch.cat(answers)[None], None


def _seen(values: Tensor, chunks: Chunks, trunk: list[Tensor]) -> Tensor:
    """Gather keys or values [key heads, nodes, size] per chunk: [chunks, key heads, trunk + keys, size]."""
    import torch

    heads, nodes, size = values.shape
    count = len(chunks.mask)
    # In memory a node's heads lie side by side, so a node is one row to copy.
    rows = values.transpose(0, 1).reshape(nodes, heads * size).index_select(0, chunks.keys)
    own = rows.view(count, -1, heads, size).transpose(1, 2)
    pieces = [piece[None].expand(count, *piece.shape) for piece in trunk]
    return torch.cat([*pieces, own], dim=2) if pieces else own


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, variant: Variant) -> Tensor:
    """Attend per chunk: query [heads, nodes, size], keys [chunks, key heads, keys, size] -> [nodes, heads, size]."""
    heads, nodes, size = query.shape
    answer = attend(query.view(heads, len(mask), -1, size).transpose(0, 1), keys, values, mask, variant)
    return answer.transpose(1, 2).reshape(nodes, heads, values.shape[-1])
