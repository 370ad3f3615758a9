"""Calibration activations on their way through a decoder, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_BATCH_TOKENS_CPU = 1024  # activations that stay in a core's cache: a fifth faster than 4096
_BATCH_TOKENS_ACCELERATOR = 16384
_PROBE_TOKENS = 8


class Stop(Exception):
    """Ends a forward pass that has shown what it was run for."""


class Call(NamedTuple):
    """What a block is called with besides the hidden states: masks, position embeddings, ..."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Stream:
    """Hidden states before one block, in batches of whole sequences, and how to call every block on them.

    `hidden` are the inputs of the next block; `advance` makes them its outputs.
    """

    def __init__(self, network: Module, blocks: tuple[Module, ...], tokens: Tensor) -> None:
        """Embed the tokens [sequences, length] and learn the blocks' calls. Runs no block on more than a few tokens."""
        import torch

        device = next(network.parameters()).device
        room = _BATCH_TOKENS_CPU if device.type == "cpu" else _BATCH_TOKENS_ACCELERATOR
        size = max(1, room // tokens.shape[1])
        batches = [batch.to(device) for batch in torch.split(tokens, size)]
        self.blocks = blocks
        self.hidden: list[Tensor] = []
        self._calls: list[list[Call]] = [[] for _ in blocks]
        gives_tuple = _probe(network, blocks, batches[0][:1, :_PROBE_TOKENS])
        with _replaced([self._recorder(number, gives_tuple) for number in range(len(blocks))], blocks):
            for batch in batches:
                with suppress(Stop):
                    network(input_ids=batch, use_cache=False)

    def _recorder(self, number: int, gives_tuple: bool) -> Any:
        def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            """Stands in for a block: notes how it is called, hands its input on."""
            self._calls[number].append(Call(args, kwargs))
            if number == 0:
                self.hidden.append(hidden)
            if number == len(self.blocks) - 1:
                raise Stop
            return (hidden,) if gives_tuple else hidden

        return record

    def run(self, number: int) -> Iterator[Tensor | None]:
        """The outputs of block `number` on every batch; None for a pass that a hook ended with `Stop`."""
        for hidden, call in zip(self.hidden, self._calls[number], strict=True):
            output: Any = None
            with suppress(Stop):
                output = self.blocks[number](hidden, *call.args, **call.kwargs)
            yield output[0] if isinstance(output, tuple) else output

    def first_output(self, number: int) -> Tensor:
        """The output of block `number` on the first batch."""
        output = next(self.run(number))
        assert output is not None
        return output

    def advance(self, number: int) -> None:
        """Replace the inputs of block `number` by its outputs."""
        for index, output in enumerate(self.run(number)):
            assert output is not None
            self.hidden[index] = output


def _probe(network: Module, blocks: tuple[Module, ...], tokens: Tensor) -> bool:
    """Whether blocks return tuples. ModelError unless each block's output is, unchanged, the next one's input."""
    inputs: list[Any] = []
    outputs: list[Any] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, args: inputs.append(args[0] if args else None)) for block in blocks
    ]
    hooks += [block.register_forward_hook(lambda _, __, output: outputs.append(output)) for block in blocks]
    try:
        network(input_ids=tokens, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    plain = [output[0] if isinstance(output, tuple) else output for output in outputs]
    if len(inputs) != len(blocks) or any(a is not b for a, b in zip(plain, inputs[1:], strict=False)):
        raise ModelError(
            f"{type(network).__name__} does not pass its hidden states straight from block to block; "
            "compressing it layer by layer is not supported"
        )
    return isinstance(outputs[0], tuple)


@contextmanager
def _replaced(forwards: list[Any], blocks: tuple[Module, ...]) -> Iterator[None]:
    """The blocks with other forward functions."""
    before = [block.__dict__.get("forward") for block in blocks]
    for block, forward in zip(blocks, forwards, strict=True):
        block.forward = forward
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward
