"""Keys and values as llama.cpp reads them back from a cache of 8 or 4 bits, for attention in PyTorch.

Every key and value is rounded in blocks along its head, so what is read of a token depends on that token alone. Packs
and padded batches therefore read the same. llama.cpp turns heads by a Hadamard matrix first, which spreads outliers
over a block, and multiplies the keys with a query of 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.engines.hf.own_attention import Attention

BLOCK = 32
# llama.cpp turns a head only if its size is a multiple of this.
ROTATED = 64
# Model types whose keys stand in another order in a GGUF file: the two channels that rope turns together side by side.
# The converter reorders what llama.cpp ropes by neighbours and transformers by halves; all others keep their order.
PAIRED = {
    "arcee",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "llama",
    "ministral3",
    "mistral",
    "mixtral",
    "olmo",
    "smollm3",
}


class Attended(NamedTuple):
    """What attention works with: query [..., heads, tokens, size], key and value [..., key heads, tokens, size]."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class BlockCache:
    """A cache that holds keys and values in blocks of 32.

    stored  returns values as a block holds them
    paired  True if the model's keys stand in pairs in llama.cpp (`PAIRED`)
    """

    name: str
    stored: Callable[[Tensor], Tensor]
    paired: bool

    def read(self, query: Tensor, key: Tensor, value: Tensor) -> Attended:
        """Return what is attended, in the order and dtype that was given."""
        for tensor in (key, value):
            check_head_size(self.name, tensor.shape[-1])
        turned = key_rotation(key.shape[-1])
        return Attended(
            round_heads(query, q8_0, rotation=turned, paired=self.paired),
            round_heads(key, self.stored, rotation=turned, paired=self.paired),
            round_heads(value, self.stored, rotation=value_rotation(value.shape[-1]), paired=False),
        )

    def around(self, attention: Attention, starts: Tensor | None = None) -> Attention:
        """Return an attention that reads rounded keys and values; they must be new or exact, not rounded before.

        Every token reads them, whatever `starts` says.
        """

        def rounded(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **options: Any) -> Any:
            return attention(module, *self.read(query, key, value), *args, **options)

        return rounded


def check_head_size(name: str, size: int) -> None:
    """Raise EngineError for heads that do not divide into blocks."""
    if size % BLOCK:
        raise EngineError(f"kv={name} rounds heads in blocks of {BLOCK}; this model's have {size} channels")


def round_heads(values: Tensor, stored: Callable[[Tensor], Tensor], *, rotation: int, paired: bool) -> Tensor:
    """Return values [..., size] after a round trip through a cache.

    rotation  channels turned together before they are stored and back after; 0 for none
    paired    store channels i and i + size / 2 side by side
    """
    read = values.float()
    read = pair(read) if paired else read
    read = stored(rotate(read, rotation)) if rotation else stored(read)
    read = rotate(read, rotation) if rotation else read
    return (unpair(read) if paired else read).to(values.dtype)


def q8_0(values: Tensor) -> Tensor:
    """Round float32 values to 8 bits in blocks of 32 along the last dimension, as ggml's Q8_0: [..., size]."""
    import torch

    blocks = split(values, BLOCK)
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    scaled = (blocks * inverse(scale)).abs()
    whole = scaled.floor()
    codes = torch.copysign(whole + (scaled - whole >= 0.5), blocks)  # halves away from 0
    return (codes * half(scale)).flatten(-2)


def q4_0(values: Tensor) -> Tensor:
    """Round float32 values to 4 bits in blocks of 32 along the last dimension, as ggml's Q4_0: [..., size].

    The largest magnitude has code -8 whatever its sign is, so the scale is signed.
    """
    blocks = split(values, BLOCK)
    extreme = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    scale = extreme / -8
    codes = (blocks * inverse(scale) + 8.5).trunc().clamp(0, 15) - 8
    return (codes * half(scale)).flatten(-2)


def split(values: Tensor, size: int) -> Tensor:
    """Return groups of consecutive channels: [..., n * size] -> [..., n, size]."""
    return values.reshape(*values.shape[:-1], values.shape[-1] // size, size)


def inverse(scale: Tensor) -> Tensor:
    """Return 1 / scale, and 0 where that is not finite: for scales that are 0 or almost."""
    inverted = 1 / scale
    return inverted.where(inverted.isfinite(), 0.0)


def half(scale: Tensor) -> Tensor:
    """Return scales as they are stored, in float16."""
    return scale.half().float()


STORED: dict[str, Callable[[Tensor], Tensor]] = {"q8_0": q8_0, "q4_0": q4_0}


def key_rotation(size: int) -> int:
    """Return how many channels of a key llama.cpp turns together: the largest power of two that divides the head."""
    return size & -size if size % ROTATED == 0 else 0


def value_rotation(size: int) -> int:
    """Return how many channels of a value llama.cpp turns together."""
    return ROTATED if size % ROTATED == 0 else 0


def rotate(values: Tensor, size: int) -> Tensor:
    """Multiply groups of `size` channels by the Hadamard matrix, which is its own inverse: [..., n * size]."""
    return (split(values, size) @ hadamard(size).to(values.device)).flatten(-2)


@cache
def hadamard(size: int) -> Tensor:
    """Return Sylvester's Hadamard matrix of a power of two, scaled to be orthonormal: [size, size]."""
    import torch

    with torch.inference_mode(False):  # it is kept, and may be read outside of that mode
        if size == 1:
            return torch.ones(1, 1)
        part = hadamard(size // 2) / 2**0.5
        return torch.cat([torch.cat([part, part], 1), torch.cat([part, -part], 1)])


def pair(values: Tensor) -> Tensor:
    """Put channels i and i + size / 2 side by side, at 2 i and 2 i + 1: [..., size]."""
    return split(values, values.shape[-1] // 2).transpose(-1, -2).flatten(-2)


def unpair(values: Tensor) -> Tensor:
    """Undo `pair`."""
    return split(values, 2).transpose(-1, -2).flatten(-2)
