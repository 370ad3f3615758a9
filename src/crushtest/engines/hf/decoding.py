"""Decoders: how a batch of texts grows by a token each, with packs and an own key-value store, or transformers' way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from crushtest.engines.hf.attention import Kept
from crushtest.engines.hf.head import base_of, logits_of
from crushtest.engines.hf.kivi import Kivi
from crushtest.engines.hf.kv_cache import BlockCache
from crushtest.engines.hf.likelihood import run_pack
from crushtest.engines.hf.own_attention import attending
from crushtest.engines.hf.variants import attend, variant_of
from crushtest.engines.packing import Pack, as_line, plan_packs, trunk_chain
from crushtest.models.devices import input_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.engines.hf.kv_choice import KvCache

NAME = "crushtest_stored"


@dataclass
class Store:
    """Keys and values of a batch, one entry per call of attention: [rows, key heads, places, head size].

    Rows end at the same place and begin at `begin` [rows]; `filled` places are in use. Space for what is to come
    is there from the start, so nothing is moved when a token is added.
    """

    keys: list[Tensor]
    values: list[Tensor]
    begin: Tensor
    filled: int
    masks: dict[tuple[int | None, torch.device], Tensor] = field(default_factory=dict)
    calls: Iterator[int] = field(default_factory=count)

    def mask(self, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return what is added to a row's scores under a sliding window: [rows, 1, 1, filled + 1]."""
        import torch

        if (window, device) not in self.masks:
            places = torch.arange(self.filled + 1, device=device)
            used = places >= self.begin.to(device)[:, None]
            used &= places > self.filled - (self.filled + 1 if window is None else window)
            self.masks[window, device] = torch.zeros(used.shape, dtype=dtype, device=device).masked_fill_(
                ~used, float("-inf")
            )[:, None, None]
        return self.masks[window, device]


def stored_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    store: Store,
    scaling: float | None = None,
    **variant: Any,
) -> tuple[Tensor, None]:
    """Be transformers' attention for one token per row: query [rows, heads, 1, size] -> [rows, 1, heads, size].

    The new keys and values go to place `filled`, which whoever runs the network counts up.
    """
    wanted = variant_of(scaling, variant)
    call = next(store.calls)
    keys, values = store.keys[call], store.values[call]
    keys[:, :, store.filled], values[:, :, store.filled] = key[:, :, 0], value[:, :, 0]
    rows, heads, _, size = query.shape
    keys, values = (stored[:, :, : store.filled + 1] for stored in (keys, values))
    mask = store.mask(wanted.window, query.dtype, query.device)
    if wanted.written_out:
        return attend(query, keys, values, mask, wanted).transpose(1, 2), None
    # The heads that share a key head are its queries: one product each, and no key is copied.
    answer = attend(query.view(rows, keys.shape[1], -1, size), keys, values, mask, wanted)
    return answer.reshape(rows, 1, heads, -1), None


@dataclass
class PackedDecoder:
    """Reads prompts in prefix-shared packs of `size` tokens; then each step is one token per row.

    kv  how keys and values are stored; None for as they are
    """

    network: PreTrainedModel
    size: int
    kv: KvCache | None = None
    _store: Store | None = None

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Return the logits of each prompt's next token."""
        import torch

        network, rows, read = self.network, len(prompts), max(map(len, prompts))
        plan = plan_packs([as_line(prompt) for prompt in prompts], self.size)
        last: Tensor | None = None
        begin = torch.tensor([read - len(prompt) for prompt in prompts], device=input_device(network))
        self._store = Store([], [], begin, read)
        kept: dict[int, Kept] = {}
        for index, pack in enumerate(plan):
            trunk = [kept[at] for at in trunk_chain(plan, pack.trunk)]
            own = Kept()
            hidden = run_pack(network, pack, trunk, own, self.kv if isinstance(self.kv, BlockCache) else None)
            kept |= {index: own} if pack.is_trunk else {}
            last = hidden.new_empty(rows, hidden.shape[-1]) if last is None else last
            last[torch.from_numpy(pack.lines).to(last.device)] = hidden[torch.from_numpy(pack.rows).to(last.device)]
            _store_paths(self._store, pack, [*trunk, own], rows, read + room)
        if isinstance(self.kv, Kivi):
            with torch.inference_mode():
                self.kv.round_prompts(self._store)
        assert last is not None
        return logits_of(network, last)

    def step(self, tokens: Tensor) -> Tensor:
        """Return the logits of what follows these tokens."""
        import torch

        store = self._store
        assert store is not None
        store.masks, store.calls = {}, count()
        attention = partial(stored_attention, store=store)
        around = self.kv.around(attention) if isinstance(self.kv, BlockCache) else attention
        with torch.inference_mode(), attending(self.network, NAME, around):
            hidden: Tensor = base_of(self.network)(
                input_ids=tokens.to(store.begin.device)[:, None],
                position_ids=(store.filled - store.begin)[:, None],
                use_cache=False,
            )[0]
        store.filled += 1
        if isinstance(self.kv, Kivi):
            with torch.inference_mode():
                self.kv.round_newest(store)
        return logits_of(self.network, hidden[:, -1])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows and give up places that only the others needed."""
        store = self._store
        assert store is not None
        begin = store.begin[rows.to(store.begin.device)]
        unused = int(begin.min())
        for layers in (store.keys, store.values):
            for layer, values in enumerate(layers):
                layers[layer] = values[rows.to(values.device), :, unused:]
        self._store = Store(store.keys, store.values, begin - unused, store.filled - unused)


def _store_paths(store: Store, pack: Pack, pieces: list[Kept], rows: int, places: int) -> None:
    """Copy keys and values of each line's path, from the pieces that hold them, to where the store has the line."""
    import torch

    if not len(pack.lines):
        return
    before = int(pack.depth[0])
    paths = np.zeros((len(pack.lines), store.filled), dtype=np.int64)
    for number, row in enumerate(pack.rows):
        own = np.flatnonzero(pack.end[: row + 1] > row)
        path = np.concatenate([np.arange(before), before + own])
        paths[number, store.filled - len(path) :] = path
    with torch.inference_mode():
        index, lines = torch.from_numpy(paths), torch.from_numpy(pack.lines)
        for stored, layers in (
            (store.keys, zip(*(piece.keys for piece in pieces), strict=True)),
            (store.values, zip(*(piece.values for piece in pieces), strict=True)),
        ):
            for layer, parts in enumerate(layers):
                source = torch.cat(parts, dim=1)
                if layer == len(stored):
                    stored.append(source.new_zeros(rows, source.shape[0], places, source.shape[2]))
                index, lines = index.to(source.device), lines.to(source.device)
                stored[layer][lines, :, : store.filled] = source[:, index].transpose(0, 1)
