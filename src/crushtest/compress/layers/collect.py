"""Collect what a method asks for: statistics of the linear layers' inputs, and gradients of their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
_UNREACHED = "no calibration token reached this layer; use more or other calibration text, or skip it"

ENOUGH_TOKENS = 32
"""An expert that fewer calibration tokens reached is compressed by the statistics of all experts of its tensor."""


class BlockInputs:
    """What one block's linear layers were given: their statistics, and a sample of tokens to measure errors on.

    Layers that are given the very same tensor (q, k and v; gate and up) share both. An expert is given the tokens that
    are routed to it. If fewer than ENOUGH_TOKENS are, its statistics are those of all experts in its tensor together.
    """

    def __init__(self, linears: Sequence[Linear], kinds: Sequence[type[InputStatistic]], tokens: int) -> None:
        self._linears = [linear for linear in linears if not linear.packed]
        self._experts = [linear for linear in linears if linear.packed]
        self._kinds = kinds
        self._stride = max(1, tokens // _SAMPLED_TOKENS)
        self._owner: dict[str, str] = {}
        self._statistics: dict[str, dict[Any, InputStatistic]] = {}
        self._samples: dict[str, list[Tensor]] = {}
        self._passing: list[tuple[Tensor, str]] = []
        self._waiting: set[str] = set()
        self._routed: dict[str, int] = {}
        self._pooled: dict[tuple[int, Any], InputStatistic] = {}

    def statistic(self, linear: Linear, kind: type[Kind]) -> Kind:
        """Return a statistic of a layer's input. CompressionError if no calibration token reached it."""
        self._need_seen(linear)
        if self.is_pooled(linear):
            if not any(self._routed[other.name] for other in self._beside(linear)):
                raise CompressionError(_UNREACHED)
            return self._pooled_statistic(linear, kind)
        statistic = self._statistics[self._owner[linear.name]][kind]
        assert isinstance(statistic, kind)
        return statistic

    def routed_tokens(self, linear: Linear) -> int | None:
        """Return how many calibration tokens were routed to an expert; None for a layer that sees all of them."""
        return self._routed.get(linear.name, 0) if linear.packed else None

    def is_pooled(self, linear: Linear) -> bool:
        """Say whether an expert saw so few tokens that its statistics are those of all experts in its tensor."""
        tokens = self.routed_tokens(linear)
        return tokens is not None and tokens < ENOUGH_TOKENS

    def sample(self, linear: Linear) -> Tensor:
        """Return [tokens, in_features], some of a layer's inputs, spread evenly over the calibration set.

        It is empty for an expert that no token reached.
        """
        import torch

        self._need_seen(linear)
        return torch.cat(self._samples[self._owner[linear.name]])

    def watch(self, stream: Stream, number: int) -> None:
        """Run block `number` over the stream with its weights as they are, up to the last layer of interest."""
        hooks = [linear.module.register_forward_pre_hook(self._hook(linear)) for linear in self._linears]
        try:
            self._run(stream, number, self._experts)
        finally:
            for hook in hooks:
                hook.remove()
        uncalled = [linear for linear in self._linears if linear.name not in self._owner]
        if uncalled:  # a block may multiply with a layer's weight itself and never call the layer
            self._run(stream, number, uncalled)

    def _run(self, stream: Stream, number: int, by_product: Sequence[Linear]) -> None:
        from crushtest.compress.layers.products import products_with

        outputs = stream.run(number)
        for sequences in stream.sequences:
            self._passing = []
            self._waiting = {linear.name for linear in (*self._linears, *self._experts)}
            with products_with(by_product) as rows:
                next(outputs)
            self._passing = []
            for linear in by_product:
                with naming(linear.name):
                    self._take_routed(linear, rows[linear.name], sequences)

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

    def _take(self, name: str, given: Tensor, *, sequences: int = 1, stride: int | None = None) -> None:
        if name not in self._statistics:
            self._statistics[name] = {kind: kind() for kind in self._kinds}
        for statistic in self._statistics[name].values():
            statistic.add(given, sequences=sequences)
        sample = given.detach().reshape(-1, given.shape[-1])[:: stride or self._stride].clone()
        need_finite(sample)  # a method may ask for no statistics, which would have looked
        self._samples.setdefault(name, []).append(sample)

    def _take_routed(self, linear: Linear, given: list[Tensor], sequences: int) -> None:
        """Take in the rows that a layer multiplied in one batch, if any. Rows of zeros are tokens not routed to it."""
        import torch

        if not given and not linear.packed:
            return
        rows = torch.cat(given) if given else linear.weight.new_zeros(0, linear.shape[1])
        if linear.packed:
            rows = rows[rows.any(dim=1)]
            self._routed[linear.name] = self._routed.get(linear.name, 0) + len(rows)
        self._owner[linear.name] = linear.name
        share = linear.packed.count if linear.packed else 1
        self._take(linear.name, rows, sequences=sequences, stride=max(1, self._stride // share))

    def _pooled_statistic(self, linear: Linear, kind: type[Kind]) -> Kind:
        key = (id(linear.packed), kind)
        if key not in self._pooled:
            parts: list[Any] = [self._statistics[other.name][kind] for other in self._beside(linear)]
            self._pooled[key] = kind.pooled(parts)
        statistic = self._pooled[key]
        assert isinstance(statistic, kind)
        return statistic

    def _beside(self, linear: Linear) -> list[Linear]:
        return [other for other in self._experts if other.packed is linear.packed]

    def _need_seen(self, linear: Linear) -> None:
        if linear.name not in self._owner:
            raise CompressionError(_UNREACHED)


def collect_gradients(
    network: PreTrainedModel,
    linears: Sequence[Linear],
    tokens: Tensor,
    norm: Literal["l2", "l1"],
    on_sequence: Callable[[int], None],
) -> dict[str, WeightGradient]:
    """Return the size of the loss gradient of every layer's weight over the sequences, one backward pass each.

    A gradient is taken in and freed as soon as backward has made it, so only one layer's is alive at a time; the sums
    take 4 bytes per weight. A layer that the loss does not depend on smoothly (it only chooses the tokens to attend to)
    has a gradient of 0.
    """

    def losses() -> Iterator[Tensor]:
        for index, sequence in enumerate(tokens):
            ids = sequence.unsqueeze(0).to(network.device)
            loss: Any = network(input_ids=ids, labels=ids, use_cache=False).loss
            yield loss
            on_sequence(index + 1)

    return gradients_of(linears, losses(), norm)


def gradients_of(
    linears: Sequence[Linear], losses: Iterable[Tensor], norm: Literal["l2", "l1"]
) -> dict[str, WeightGradient]:
    """Return the size of the gradient of every layer's weight over some losses, one backward pass each.

    losses   made one by one while they are asked for, with gradients enabled
    """
    import torch

    gradients = {linear.name: WeightGradient(norm=norm) for linear in linears}
    with torch.enable_grad(), _gradients_for(linears, gradients):
        for loss in losses:
            loss.backward()  # type: ignore[no-untyped-call]
    for linear in linears:
        if gradients[linear.name].is_empty:
            gradients[linear.name].add(torch.zeros_like(linear.weight))
    return gradients


@contextmanager
def _gradients_for(linears: Sequence[Linear], gradients: dict[str, WeightGradient]) -> Iterator[None]:
    """Let the layers' weights have gradients, each handed over when it is whole."""
    by_parameter: dict[int, list[Linear]] = {}
    for linear in linears:
        by_parameter.setdefault(id(linear.parameter), []).append(linear)

    def hand_over(owners: Sequence[Linear]) -> Callable[[Tensor], None]:
        def take(parameter: Tensor) -> None:
            assert parameter.grad is not None
            for linear in owners:
                with naming(linear.name):
                    gradients[linear.name].add(linear.part_of(parameter.grad))
            parameter.grad = None

        return take

    hooks = []
    for owners in by_parameter.values():
        owners[0].parameter.requires_grad_(True)
        hooks.append(owners[0].parameter.register_post_accumulate_grad_hook(hand_over(owners)))
    try:
        yield
    finally:
        for hook, owners in zip(hooks, by_parameter.values(), strict=True):
            hook.remove()
            owners[0].parameter.grad = None
            owners[0].parameter.requires_grad_(False)


@contextmanager
def naming(layer: str) -> Iterator[None]:
    """Say in a CompressionError which layer it is about."""
    try:
        yield
    except CompressionError as error:
        raise CompressionError(f"{layer}: {error}") from error
