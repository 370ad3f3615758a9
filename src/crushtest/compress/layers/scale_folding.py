"""Find where a scale can move: from the columns of linear layers into the module that makes their input.

x W^T = (x / s) (W s)^T, so the columns of W may be multiplied by s if what comes before gives x / s: a norm, whose
weight is divided by s, or an earlier linear layer, whose rows are. Which module that is, is not looked up by
architecture but found by trying: a pair counts if rescaling it leaves the block's output as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.compress.layers.structure import Linear, is_linear

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from crushtest.compress.layers.loop import Block

# What counts as the same output, as a share of what the block adds to its input: well above rounding in that precision.
_SAME = {"float32": 1e-3}
_SAME_IN_HALF = 0.02


@dataclass(frozen=True)
class Source:
    """What makes the input of linear layers: a module whose output features can be divided by a scale.

    `offset` is 1 for norms that multiply by 1 + weight.
    """

    module: Module
    offset: float = 0.0

    def divide(self, scale: Tensor) -> None:
        """Divide every output feature by its scale, in place."""
        weight: Any = self.module.weight
        bias: Any = getattr(self.module, "bias", None)
        own = scale if weight.dim() == 1 else scale.unsqueeze(1)
        weight.data = ((weight.data.float() + self.offset) / own - self.offset).to(weight.dtype)
        if bias is not None:
            bias.data = (bias.data.float() / scale).to(bias.dtype)


@dataclass(frozen=True)
class Pair:
    """Linear layers that share an input, and the source of that input."""

    source: Source
    linears: tuple[Linear, ...]


def find_pairs(block: Block) -> list[Pair]:
    """Return the pairs of a block's layers, in the order in which it runs them. Layers without a source are in none."""
    trace = _Trace(block)
    pairs = []
    for linears in trace.sharing:
        source = next(
            (source for source in trace.candidates(linears) if trace.output_is_kept_by(source, linears)), None
        )
        if source is not None:
            pairs.append(Pair(source, linears))
    return pairs


def scale_columns(linears: Sequence[Linear], scale: Tensor) -> None:
    """Multiply the columns of weights by a scale, in place."""
    for linear in linears:
        linear.replace_weight((linear.weight.float() * scale).to(linear.weight.dtype))


class _Trace:
    """One pass of a block: its output, which layers were given the same tensor, and which modules ran before them."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._norms: list[tuple[Any, Module]] = []
        self._ran: list[tuple[Any, Linear]] = []
        self._others: list[Any] = []
        module = block.stream.blocks[block.number]
        with ExitStack() as hooks:
            for linear in block.linears:
                hooks.callback(linear.module.register_forward_pre_hook(self._note_linear(linear)).remove)
            chosen = {id(linear.module) for linear in block.linears}
            for part in module.modules():
                weight = getattr(part, "weight", None)
                if is_linear(part) and id(part) not in chosen:
                    hooks.callback(part.register_forward_pre_hook(self._note_other).remove)
                elif weight is not None and weight.dim() == 1:
                    hooks.callback(part.register_forward_hook(self._note_norm).remove)
            self._output = block.stream.first_output(block.number)

    @property
    def sharing(self) -> list[tuple[Linear, ...]]:
        """Return the layers, those of one input together."""
        groups: list[tuple[Any, list[Linear]]] = []
        for given, linear in self._ran:
            group = next((linears for tensor, linears in groups if tensor is given), None)
            if group is None:
                groups.append((given, [linear]))
            else:
                group.append(linear)
        return [tuple(linears) for _, linears in groups]

    def candidates(self, linears: tuple[Linear, ...]) -> list[Source]:
        """Modules that may be the source, the likeliest first: the norm whose output it is, then earlier layers.

        None where a layer that is not to be compressed has the same input, which it needs as it is.
        """
        given = next(tensor for tensor, linear in self._ran if linear is linears[0])
        if any(tensor is given for tensor in self._others):
            return []
        norms = [norm for output, norm in self._norms if output is given]
        if norms:
            return [Source(norms[0]), Source(norms[0], offset=1.0)]
        place = next(index for index, (_, linear) in enumerate(self._ran) if linear is linears[0])
        features = linears[0].shape[1]
        earlier = [linear for _, linear in self._ran[:place] if linear.shape[0] == features]
        return [Source(linear.module) for linear in reversed(earlier) if linear.is_plain]

    def output_is_kept_by(self, source: Source, linears: tuple[Linear, ...]) -> bool:
        """Say whether the block gives what it gave when the pair is rescaled; put everything back."""
        import torch

        features = linears[0].shape[1]
        scale = torch.linspace(0.5, 2.0, features, device=linears[0].weight.device)
        modules: list[Any] = [source.module, *(linear.module for linear in linears)]
        parameters = [parameter for module in modules for parameter in module.parameters(recurse=False)]
        kept = [parameter.data.clone() for parameter in parameters]
        source.divide(scale)
        scale_columns(linears, scale)
        stream = self._block.stream
        after = stream.first_output(self._block.number)
        for parameter, data in zip(parameters, kept, strict=True):
            parameter.data = data
        added = (self._output - stream.first_input()).float().norm()
        same = _SAME.get(str(after.dtype).removeprefix("torch."), _SAME_IN_HALF)
        return bool((after - self._output).float().norm() <= same * added)

    def _note_linear(self, linear: Linear) -> Any:
        return lambda _, args: self._ran.append((args[0], linear))

    def _note_other(self, _: Module, args: Any) -> None:
        self._others.append(args[0])

    def _note_norm(self, module: Module, _: Any, output: Any) -> None:
        self._norms.append((output, module))
