"""Keys and values as KIVI stores them (arXiv:2402.02750), read by nothing but tokens written after the prompt.

The prompt is read exactly. Then its older keys and values are rounded, and each token that is written attends to these.
Keys are rounded per channel, in groups of 32 tokens, whenever 128 of them are complete. Values are rounded per token,
in groups of 32 channels, once 128 newer ones follow. Until then both are exact. The minimum and the step of a group
are float16 numbers.

Where given tokens are scored, those before the first scored one are the prompt, and the scored ones are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.engines.hf.kv_cache import BLOCK, half, inverse, split

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.engines.hf.decoding import Store
    from crushtest.engines.hf.own_attention import Attention

# Newest tokens whose values are exact; keys are rounded whenever so many are complete.
RESIDUAL = 128


@dataclass(frozen=True)
class Kivi:
    """A cache of `bits` per value, besides the minimum and step of every group."""

    name: str
    bits: int

    def round_keys(self, keys: Tensor) -> Tensor:
        """Round each channel in groups of 32 tokens: [..., 32 n tokens, size]."""
        return self._round(keys.transpose(-1, -2)).transpose(-1, -2)

    def round_values(self, values: Tensor) -> Tensor:
        """Round each token in groups of 32 channels: [..., 32 n]."""
        return self._round(values)

    def _round(self, values: Tensor) -> Tensor:
        groups, steps = split(values.float(), BLOCK), 2**self.bits - 1
        low = groups.amin(-1, keepdim=True)
        step = (groups.amax(-1, keepdim=True) - low) / steps
        codes = ((groups - low) * inverse(step)).clamp(0, steps).round()
        return (codes * half(step) + half(low)).flatten(-2).to(values.dtype)

    def around(self, attention: Attention, starts: Tensor) -> Attention:
        """Return an attention whose tokens from `starts` [rows] on read what was rounded before they were written.

        Lines begin at the first place of their row and are attended causally.
        """
        import torch

        def two_ways(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **options: Any) -> Any:
            exact, weights = attention(module, query, key, value, *args, **options)
            count = query.shape[2]
            if count <= RESIDUAL:
                return exact, weights
            written = self.attend_written(query, key, value, options.get("scaling"))
            is_written = torch.arange(count, device=query.device) >= starts.to(query.device)[:, None]
            return torch.where(is_written[:, :, None, None], written, exact), weights

        return two_ways

    def attend_written(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Attend as if every token were written.

        query [rows, heads, tokens, size], key and value [rows, key heads, tokens, size] -> [rows, tokens, heads, size].
        Tokens from one multiple of 128 to the next see the same keys rounded. Sums and softmax are float32, or wider if
        the query is.
        """
        import torch

        wide = torch.promote_types(query.dtype, torch.float32)

        rows, _, count, size = query.shape
        asked = query.view(rows, key.shape[1], -1, count, size).to(wide)
        rounded_keys = self.round_keys(key[:, :, : count // RESIDUAL * RESIDUAL])
        rounded_values, exact_values = (read.to(wide)[:, :, None] for read in (self.round_values(value), value))
        answers = []
        for first in range(0, count, RESIDUAL):
            stop = min(first + RESIDUAL, count)
            keys = torch.cat([rounded_keys[:, :, :first], key[:, :, first:stop]], dim=2)[:, :, None].to(wide)
            here = torch.arange(first, stop, device=query.device)[:, None]
            there = torch.arange(stop, device=query.device)
            scores = asked[..., first:stop, :] @ keys.transpose(-1, -2) * (size**-0.5 if scaling is None else scaling)
            weights = scores.masked_fill(there > here, float("-inf")).softmax(-1)
            old = there < here - RESIDUAL
            answers.append(
                (weights * old) @ rounded_values[..., :stop, :] + (weights * ~old) @ exact_values[..., :stop, :]
            )
        return torch.cat(answers, dim=3).flatten(1, 2).transpose(1, 2).to(query.dtype)

    def round_prompts(self, store: Store) -> None:
        """Round what a cache holds rounded when the prompts are read."""
        for row, begin in enumerate(store.begin.tolist()):
            keys_end = begin + (store.filled - begin) // RESIDUAL * RESIDUAL
            values_end = max(store.filled - RESIDUAL, begin)
            for keys, values in zip(store.keys, store.values, strict=True):
                keys[row, :, begin:keys_end] = self.round_keys(keys[row, :, begin:keys_end])
                values[row, :, begin:values_end] = self.round_values(values[row, :, begin:values_end])

    def round_newest(self, store: Store) -> None:
        """Round what a token more in each row completes."""
        lengths, oldest = store.filled - store.begin, store.filled - RESIDUAL
        complete = (lengths % RESIDUAL == 0).nonzero().flatten().tolist()
        for keys, values in zip(store.keys, store.values, strict=True):
            for row in complete:
                keys[row, :, oldest : store.filled] = self.round_keys(keys[row, :, oldest : store.filled])
            if oldest > 0:  # in rows that begin later the place is empty, and nobody looks at it
                values[:, :, oldest - 1] = self.round_values(values[:, :, oldest - 1])
