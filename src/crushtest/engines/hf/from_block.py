"""Run packs from one block on: what lies below it is dense's own, kept hidden states, and is not computed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crushtest.engines.hf.attention import Kept
from crushtest.engines.hf.likelihood import run_pack
from crushtest.engines.packing import Pack, trunk_chain

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel


class _Reached(Exception):
    """Ends a forward pass at the block whose input was asked for."""


@dataclass
class FromBlock:
    """Packs whose way through a decoder begins at one of its blocks.

    A pass costs that block and what is above it. Memory holds the hidden states before one block: a row per node.

    blocks   the decoder's blocks, each of which gets the hidden states as its first argument
    extras   how many things a block returns beside the hidden states; None if it returns these alone, in no tuple
    number   the block at which passes begin
    """

    network: PreTrainedModel
    blocks: Sequence[Module]
    plan: Sequence[Pack]
    extras: int | None
    number: int = 0
    _hidden: list[Tensor] = field(default_factory=list)

    def passes(self) -> Iterator[Tensor]:
        """Yield each pack's last hidden states [nodes, size], under the weights of now."""
        for index, keep, trunk in self._in_order():
            with self._entered(index, None):
                yield run_pack(self.network, self.plan[index], trunk, keep)

    def advance(self) -> None:
        """Let passes begin one block later. The hidden states come from the weights of now."""
        outputs: list[Tensor] = []
        for index, keep, trunk in self._in_order():
            with self._entered(index, self.number + 1) as seen, suppress(_Reached):
                run_pack(self.network, self.plan[index], trunk, keep)
            outputs += seen
        self._hidden, self.number = outputs, self.number + 1

    def restart(self) -> None:
        """Let passes begin at the first block again."""
        self._hidden, self.number = [], 0

    def _in_order(self) -> Iterator[tuple[int, Kept | None, list[Kept]]]:
        """Yield each pack's index, where it leaves its keys and values if others continue it, and what it continues."""
        chains = [trunk_chain(self.plan, pack.trunk) for pack in self.plan]
        last = {trunk: index for index, chain in enumerate(chains) for trunk in chain}
        kept: dict[int, Kept] = {}
        for index, chain in enumerate(chains):
            keep = Kept() if self.plan[index].is_trunk else None
            yield index, keep, [kept[trunk] for trunk in chain]
            if keep is not None:
                kept[index] = keep
            kept = {trunk: pieces for trunk, pieces in kept.items() if last.get(trunk, -1) > index}

    @contextmanager
    def _entered(self, index: int, until: int | None) -> Iterator[list[Tensor]]:
        """Let one pack's forward pass begin at this block and end before block `until`, whose input it leaves."""
        seen: list[Tensor] = []

        def passed_on(hidden: Tensor, *_: Any, **__: Any) -> Any:
            return hidden if self.extras is None else (hidden, *[None] * self.extras)

        def reached(hidden: Tensor, *_: Any, **__: Any) -> Any:
            seen.append(hidden)
            raise _Reached

        first = self.blocks[self.number]
        own = first.forward

        def begun(_: Tensor, *args: Any, **kwargs: Any) -> Any:
            return own(self._hidden[index], *args, **kwargs)

        forwards: dict[Module, Any] = dict.fromkeys(self.blocks[: self.number], passed_on)
        if self._hidden:
            forwards[first] = begun
        if until is not None and until < len(self.blocks):
            forwards[self.blocks[until]] = reached
        before = {block: vars(block).get("forward") for block in forwards}
        for block, forward in forwards.items():
            block.forward = forward
        try:
            yield seen
        finally:
            for block, forward in before.items():
                if forward is None:
                    del block.forward
                else:
                    block.forward = forward
