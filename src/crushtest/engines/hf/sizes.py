"""How much is run at once: as usual on a CPU that has the memory, as much as pays where an accelerator has more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.engines.hf.likelihood import LOGITS, bytes_per_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

USUAL_PACK, USUAL_BATCH, USUAL_STORED = 2048, 64, 2**29
"""Tokens of a pack, prompts of a batch, and the bytes of a batch's keys and values."""
LARGEST_PACK, LARGEST_BATCH = 16384, 256
"""On accelerators. Larger packs would save little: their tokens are enough to fill one."""
SMALLEST_PACK = 64
PACK_SHARE, STORED_SHARE = 0.5, 0.25
"""Of free memory, what a pack and a batch's keys and values may take."""
SEEN = 1024
"""Keys that a token of a pack looks at, about: its scores are held for all heads."""
COPIES = 8
"""How often a pack holds a layer's keys and values: as they are, and copied for the chunks that look at them."""


class Sizes(NamedTuple):
    """What is run at once: tokens of a pack, prompts of a batch, and a batch's tokens with its continuations."""

    pack_tokens: int
    batch_size: int
    batch_tokens: int


class Asked(NamedTuple):
    """What the user asks to be run at once; None for what memory decides."""

    pack_tokens: int | None = None
    batch_size: int | None = None
    batch_tokens: int | None = None


def fit_sizes(network: PreTrainedModel, asked: Asked, *, free: int | None, accelerator: bool) -> Sizes:
    """Return what is run at once with `free` bytes of memory; None if that is not known.

    On a CPU that is the usual, so that numbers do not depend on the machine, or less if memory is too small for it.
    """
    stored_bytes, pack, batch, stored = bytes_per_token(network), USUAL_PACK, USUAL_BATCH, USUAL_STORED
    if free is not None:
        while pack > SMALLEST_PACK and pack_bytes(network, pack) > PACK_SHARE * free:
            pack //= 2
        while stored > STORED_SHARE * free and stored > stored_bytes:
            stored //= 2
    if free is not None and accelerator:
        while pack < LARGEST_PACK and pack_bytes(network, 2 * pack) <= PACK_SHARE * free / 2:
            pack *= 2
        batch, stored = LARGEST_BATCH, max(stored, int(STORED_SHARE * free))
    return Sizes(
        pack_tokens=asked.pack_tokens or pack,
        batch_size=asked.batch_size or batch,
        batch_tokens=asked.batch_tokens or max(stored // stored_bytes, 1),
    )


def pack_bytes(network: PreTrainedModel, tokens: int) -> int:
    """Return roughly the memory that a pack takes beside the weights: logits, and one layer's activations.

    Within a factor of two of what was seen on a CPU; on accelerators nobody measured it.
    """
    config: Any = network.config.get_text_config()
    hidden, heads = config.hidden_size, getattr(config, "num_attention_heads", None) or 1
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    stored = bytes_per_token(network)
    layer = stored // max(config.num_hidden_layers, 1)
    activations: int = (6 * hidden + 3 * inner) * network.dtype.itemsize + 4 * heads * SEEN
    per_token: int = activations + COPIES * layer + stored
    return 3 * 4 * LOGITS + tokens * per_token


def halved(sizes: Sizes, *, writing: bool) -> Sizes:
    """Return half of what is run at once when scoring, or when writing, which reads its prompts in packs."""
    pack = max(sizes.pack_tokens // 2, 1)
    if not writing:
        return sizes._replace(pack_tokens=pack)
    return Sizes(pack, max(sizes.batch_size // 2, 1), max(sizes.batch_tokens // 2, 1))
