"""Attention of ours in a network's place for it, and a network's own attention with something around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from transformers import PreTrainedModel

    Attention: TypeAlias = Callable[..., Any]
    """An attention function of transformers: (module, query, key, value, mask, **options)."""

AROUND = "crushtest_around"


@contextmanager
def attending(network: PreTrainedModel, name: str, attention: Attention) -> Iterator[None]:
    """Replace the network's attention until the block ends."""
    from transformers import AttentionInterface

    AttentionInterface.register(name, attention)
    config = network.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def attending_around(network: PreTrainedModel, around: Callable[[Attention], Attention] | None) -> Iterator[None]:
    """Let `around` stand between the network and its own attention, under its own masks, until the block ends.

    None changes nothing.
    """
    if around is None:
        yield
        return
    from transformers import AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    name = network.config._attn_implementation

    def own(module: Any, *args: Any, **options: Any) -> Any:
        file: Any = sys.modules[type(module).__module__]
        eager = getattr(file, "eager_attention_forward", None)
        return file.ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)(module, *args, **options)

    AttentionMaskInterface.register(AROUND, ALL_MASK_ATTENTION_FUNCTIONS[name])
    with attending(network, AROUND, around(own)):
        yield
