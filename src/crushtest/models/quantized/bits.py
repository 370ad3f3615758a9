"""Codes of a few bits, packed into 32-bit words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def unpack(words: Tensor, bits: int) -> Tensor:
    """Return the codes [..., n * 32 / bits] of words [..., n], as int32 from 0 to 2^bits - 1.

    The words of the last dimension are one stream of bits, the lowest of every word first. Codes of 3, 5, 6 or 7 bits
    may begin in one word and end in the next.

    >>> import torch
    >>> unpack(torch.tensor([0x76543210]), 4).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    import torch

    words = words.view(torch.int32) if words.dtype == torch.uint32 else words.to(torch.int32)
    first = torch.arange(words.shape[-1] * 32 // bits, device=words.device) * bits
    word, shift = first // 32, (first % 32).to(torch.int32)
    mask = (1 << bits) - 1
    codes = (words[..., word] >> shift) & mask
    split = (shift + bits > 32).nonzero().flatten()
    if len(split):
        # A right shift copies the sign bit, so only what the first word holds of a code is taken from it.
        held = 32 - shift[split]
        low = codes[..., split] & ((1 << held) - 1)
        codes[..., split] = (low | (words[..., word[split] + 1] << held)) & mask
    return codes


def need_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a part of a layer has this shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} is {list(tensor.shape)}, must be {list(shape)}")


def need_whole(name: str, words: int, bits: int) -> int:
    """Return how many codes fill this many words; ValueError if they do not fill them."""
    codes, rest = divmod(words * 32, bits)
    if rest:
        raise ValueError(f"{name} has {words} words, which {bits}-bit codes do not fill")
    return codes
