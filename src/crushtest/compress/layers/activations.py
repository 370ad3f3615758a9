"""Calibration activations on their way through a decoder, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from crushtest.compress.layers.offload import Residence

_BATCH_TOKENS_CPU = 1024  # activations that stay in a core's cache: a fifth faster than 4096
_BATCH_TOKENS_ACCELERATOR = 16384
_PROBE_TOKENS = 8
FOREIGN_FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ImportError)
"""What a model's own forward pass may raise."""


class Stop(Exception):
    """Ends a forward pass that has shown what it was run for."""


class Call(NamedTuple):
    """What a block is called with besides the hidden states: masks, position embeddings, ..."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Stream:
    """Hidden states before one block, in batches of whole sequences, and how to call every block on them.

    The hidden states are the inputs of the next block; `advance` makes them its outputs. Where the weights do not all
    stay on the device, neither do they: a batch is there while a block runs on it. To run a block, its weights must be
    there (`Residence.load`).
    """

    def __init__(self, network: Module, blocks: tuple[Module, ...], tokens: Tensor, residence: Residence) -> None:
        """Embed the tokens [sequences, length] and learn the blocks' calls. Runs no block on more than a few tokens."""
        import torch

        self._device = residence.device
        self._home = self._device if residence.keeps_all else torch.device("cpu")
        room = _BATCH_TOKENS_CPU if self._device.type == "cpu" else _BATCH_TOKENS_ACCELERATOR
        size = max(1, room // tokens.shape[1])
        batches = [batch.to(self._device) for batch in torch.split(tokens, size)]
        self.blocks = blocks
        self._hidden: list[Tensor] = []
        self._calls: list[list[Call]] = [[] for _ in blocks]
        extras = probe(network, blocks, batches[0][:1, :_PROBE_TOKENS], residence)
        with _replaced([self._recorder(number, extras) for number in range(len(blocks))], blocks):
            for batch in batches:
                with suppress(Stop):
                    network(input_ids=batch, use_cache=False)

    def _recorder(self, number: int, extras: int | None) -> Any:
        def record(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            """Stand in for a block: note how it is called, hand its input on."""
            self._calls[number].append(Call(args, kwargs))
            if number == 0:
                self._hidden.append(hidden.to(self._home))
            if number == len(self.blocks) - 1:
                raise Stop
            return hidden if extras is None else (hidden, *[None] * extras)

        return record

    def run(self, number: int) -> Iterator[Tensor | None]:
        """Yield the outputs of block `number` on every batch; None for a pass that a hook ended with `Stop`."""
        for hidden, call in zip(self._hidden, self._calls[number], strict=True):
            output: Any = None
            with suppress(Stop):
                output = self.blocks[number](hidden.to(self._device), *call.args, **call.kwargs)
            yield output[0] if isinstance(output, tuple) else output

    @property
    def sequences(self) -> list[int]:
        """Return how many sequences each batch has."""
        return [len(hidden) for hidden in self._hidden]

    def first_input(self) -> Tensor:
        """Return the input of the next block in the first batch."""
        return self._hidden[0].to(self._device)

    def first_output(self, number: int) -> Tensor:
        """Return the output of block `number` on the first batch."""
        output = next(self.run(number))
        assert output is not None
        return output

    def advance(self, number: int) -> None:
        """Replace the inputs of block `number` by its outputs."""
        for index, output in enumerate(self.run(number)):
            assert output is not None
            self._hidden[index] = output.to(self._home)


def probe(network: Module, blocks: tuple[Module, ...], tokens: Tensor, residence: Residence) -> int | None:
    """Return how many things a block returns beside its hidden states; None if it returns these alone, in no tuple.

    ModelError unless the hidden states of each block are, unchanged, the next one's input, and all that it is given.
    """
    inputs: list[Any] = []
    outputs: list[Any] = []
    passed_on = False
    present = ExitStack()

    def enter(number: int) -> Any:
        def see(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal passed_on
            present.enter_context(residence.load(number))
            extras = [extra for output in outputs if isinstance(output, tuple) for extra in output[1:]]
            others = (*args[1:], *kwargs.values())
            passed_on |= any(extra is other for extra in extras if extra is not None for other in others)
            inputs.append(args[0] if args else kwargs.get("hidden_states"))

        return see

    def leave(_: Module, __: Any, output: Any) -> None:
        outputs.append(output)
        present.close()

    hooks = [block.register_forward_pre_hook(enter(number), with_kwargs=True) for number, block in enumerate(blocks)]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    try:
        network(input_ids=tokens, use_cache=False)
    finally:
        present.close()
        for hook in hooks:
            hook.remove()
    plain = [output[0] if isinstance(output, tuple) else output for output in outputs]
    if len(inputs) != len(blocks) or any(a is not b for a, b in zip(plain, inputs[1:], strict=False)):
        raise ModelError(
            f"{type(network).__name__} does not pass its hidden states straight from block to block; "
            "compressing it layer by layer is not supported"
        )
    if passed_on:
        raise ModelError(
            f"{type(network).__name__} passes more than hidden states from block to block; "
            "compressing it layer by layer is not supported"
        )
    return len(outputs[0]) - 1 if isinstance(outputs[0], tuple) else None


@contextmanager
def _replaced(forwards: list[Any], blocks: tuple[Module, ...]) -> Iterator[None]:
    """Give the blocks other forward functions for the length of a `with`."""
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
