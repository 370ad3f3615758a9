"""Collect what a method asks for: statistics of the linear layers' inputs, and gradients of their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from crushtest.compress.kernels.statistics import InputGram, InputNorm, InputSize, WeightGradient, need_finite
from crushtest.compress.layers.activations import Stop, Stream
from crushtest.compress.layers.structure import Linear
from crushtest.errors import CompressionError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

InputStatistic = InputNorm | InputGram | InputSize
INPUT_STATISTICS: dict[str, type[InputStatistic]] = {kind.__name__: kind for kind in (InputNorm, InputGram, InputSize)}
Kind = TypeVar("Kind", bound=InputStatistic)
_SAMPLED_TOKENS = 256


class BlockInputs:
    """What one block's linear layers were given: their statistics, and a sample of tokens to measure errors on.

    Layers that are given the very same tensor (q, k and v; gate and up) share both.
    """

    def __init__(self, linears: Sequence[Linear], kinds: Sequence[type[InputStatistic]], tokens: int) -> None:
        self._linears = linears
        self._kinds = kinds
        self._stride = max(1, tokens // _SAMPLED_TOKENS)
        self._owner: dict[str, str] = {}
        self._statistics: dict[str, dict[Any, InputStatistic]] = {}
        self._samples: dict[str, list[Tensor]] = {}
        self._passing: list[tuple[Tensor, str]] = []
        self._waiting: set[str] = set()

    def statistic(self, linear: Linear, kind: type[Kind]) -> Kind:
        """Return a statistic of a layer's input. CompressionError if no calibration token reached it."""
        self._need_seen(linear)
        found = self._statistics[self._owner[linear.name]][kind]
        assert isinstance(found, kind)
        return found

    def sample(self, linear: Linear) -> Tensor:
        """Return [tokens, in_features], some of a layer's inputs, spread evenly over the calibration set."""
        import torch

        self._need_seen(linear)
        return torch.cat(self._samples[self._owner[linear.name]])

    def watch(self, stream: Stream, number: int) -> None:
        """Run block `number` over the stream with its weights as they are, up to the last layer of interest."""
        hooks = [linear.module.register_forward_pre_hook(self._hook(linear)) for linear in self._linears]
        try:
            self._start_pass()
            for _ in stream.run(number):
                self._start_pass()
        finally:
            for hook in hooks:
                hook.remove()
        self._passing = []

    def _start_pass(self) -> None:
        self._passing = []
        self._waiting = {linear.name for linear in self._linears}

    def _hook(self, linear: Linear) -> Callable[[Any, tuple[Any, ...]], None]:
        name = linear.name

        def see(_: Any, args: tuple[Any, ...]) -> None:
            given = args[0]
            owner = next((owner for tensor, owner in self._passing if tensor is given), None)
            if owner is None:
                owner = name
                self._passing.append((given, name))
                with naming(name):
                    self._take(name, given)
            self._owner.setdefault(name, owner)
            self._waiting.discard(name)
            if not self._waiting:
                raise Stop  # the rest of the block, its last matrix product included, would show nothing new

        return see

    def _take(self, name: str, given: Tensor) -> None:
        if name not in self._statistics:
            self._statistics[name] = {kind: kind() for kind in self._kinds}
        for statistic in self._statistics[name].values():
            statistic.add(given)
        sample = given.detach().reshape(-1, given.shape[-1])[:: self._stride].clone()
        need_finite(sample)  # a method may ask for no statistics, which would have looked
        self._samples.setdefault(name, []).append(sample)

    def _need_seen(self, linear: Linear) -> None:
        if linear.name not in self._owner:
            raise CompressionError(
                "no calibration token reached this layer; use more or other calibration text, or skip it"
            )


def collect_gradients(
    network: PreTrainedModel,
    linears: Sequence[Linear],
    tokens: Tensor,
    norm: Literal["l2", "l1"],
    on_sequence: Callable[[int], None],
) -> dict[str, WeightGradient]:
    """Return the size of the loss gradient of every layer's weight over the sequences, one backward pass each.

    A gradient is taken in and freed as soon as backward has made it, so only one layer's is alive at a time; the sums
    take 4 bytes per weight.
    """
    import torch

    gradients = {linear.name: WeightGradient(norm=norm) for linear in linears}
    with torch.enable_grad(), _gradients_for(linears, gradients):
        for index, sequence in enumerate(tokens):
            ids = sequence.unsqueeze(0).to(network.device)
            loss: Any = network(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            on_sequence(index + 1)
    return gradients


@contextmanager
def _gradients_for(linears: Sequence[Linear], gradients: dict[str, WeightGradient]) -> Iterator[None]:
    """Let the layers' weights have gradients, each handed over when it is whole."""

    def hand_over(linear: Linear) -> Callable[[Tensor], None]:
        def take(parameter: Tensor) -> None:
            assert parameter.grad is not None
            with naming(linear.name):
                gradients[linear.name].add(linear.oriented(parameter.grad))
            parameter.grad = None

        return take

    hooks = []
    weights: list[Any] = [linear.module.weight for linear in linears]
    for linear, weight in zip(linears, weights, strict=True):
        weight.requires_grad_(True)
        hooks.append(weight.register_post_accumulate_grad_hook(hand_over(linear)))
    try:
        yield
    finally:
        for hook, weight in zip(hooks, weights, strict=True):
            hook.remove()
            weight.grad = None
            weight.requires_grad_(False)


@contextmanager
def naming(layer: str) -> Iterator[None]:
    """Say in a CompressionError which layer it is about."""
    try:
        yield
    except CompressionError as error:
        raise CompressionError(f"{layer}: {error}") from error
