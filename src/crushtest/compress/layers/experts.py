"""Find the experts that a model keeps in packed tensors, by how it multiplies with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.errors import ModelError, first_error_line

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_TOKENS = 8
_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    ImportError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Packed:
    """A tensor in which the weights of several experts lie one after the other.

    module      whose parameter it is
    kept        each weight's sides as they lie in memory
    transposed  whether that is [in, out]
    """

    module: Module
    parameter: str
    count: int
    kept: tuple[int, int]
    transposed: bool

    def weight(self, expert: int) -> Tensor:
        """Return one expert's weight as a view [out, in]."""
        whole: Any = getattr(self.module, self.parameter)
        return self.part(whole.data, expert)

    def part(self, whole: Tensor, expert: int) -> Tensor:
        """Return what belongs to one expert of a tensor as large as this one, as a view [out, in]."""
        part = whole.view(self.count, *self.kept)[expert]
        return part.T if self.transposed else part


def find_packed(network: Module, blocks: Iterable[Module]) -> list[Packed]:
    """Return the tensors of several experts in these blocks, in the order of their modules.

    The network is run without its weights on a few tokens, and every product with a parameter that belongs to no
    linear layer is looked at. ModelError if such a parameter has three dimensions and is not used in products alone.
    """
    raw = {id(module): dict(_raw_parameters(module)) for block in blocks for module in block.modules()}
    if not any(raw.values()):
        return []
    solid = any(_is_packed_by_shape(tensor) for parameters in raw.values() for tensor in parameters.values())
    try:
        uses = _uses(network, raw)
    except _FAILURES as error:
        if not solid:
            return []
        raise ModelError(
            f"{type(network).__name__} keeps several experts in one tensor, and a run without weights to find them "
            f"failed: {first_error_line(error)}"
        ) from error
    names = {id(module): name for name, module in network.named_modules()}
    modules = {id(module): module for block in blocks for module in block.modules()}
    made = []
    for key, parameters in raw.items():
        for name, tensor in parameters.items():
            packed = _packed(modules[key], name, tensor, uses.get((key, name)), f"{names[key]}.{name}")
            made += [packed] if packed else []
    return made


def is_router(path: str, parameter: Tensor, counts: Iterable[int]) -> bool:
    """Say whether a parameter of a module at this path decides which of `counts` experts, or how much of a shared one.

    Such weights have a row per expert (a shared expert's gate has one), and `gate` or `router` in their names.
    """
    named = any(re.fullmatch(r"(.*_)?(gate|router)", part) for part in path.split("."))
    return named and parameter.dim() == 2 and parameter.shape[0] in {1, *counts}


@dataclass
class _Uses:
    """What a dry run showed of one parameter: the forms of the weights in it, and other operations on it."""

    forms: set[tuple[tuple[int, int], bool]]
    others: set[str]


def _uses(network: Module, raw: dict[int, dict[str, Tensor]]) -> dict[tuple[int, str], _Uses]:
    import torch

    from crushtest.compress.layers.products import DryRun, Product

    uses: dict[tuple[int, str], _Uses] = {}
    with _without_memory(network), torch.no_grad():
        keys = {
            id(parameter): (id(module), name)
            for module in network.modules()
            for name, parameter in module.named_parameters(recurse=False)
            if name in raw.get(id(module), {})
        }

        def entry(tensor: Tensor) -> _Uses:
            return uses.setdefault(keys[id(tensor)], _Uses(set(), set()))

        def see(product: Product) -> None:
            entry(product.tensor).forms.add((product.kept, product.transposed))

        def see_other(tensor: Tensor, operation: str) -> None:
            entry(tensor).others.add(operation)

        watched = [parameter for parameter in network.parameters() if id(parameter) in keys]
        with DryRun(watched, see, see_other):
            network(input_ids=torch.arange(_TOKENS).unsqueeze(0), use_cache=False)
    return uses


def _packed(module: Module, name: str, tensor: Tensor, uses: _Uses | None, path: str) -> Packed | None:
    """Return what a parameter is, None if it holds no experts. ModelError if that is not clear."""
    if uses is not None and len(uses.forms) == 1 and not uses.others:
        (kept, transposed) = next(iter(uses.forms))
        count, rest = divmod(tensor.numel(), kept[0] * kept[1])
        if not rest and (count > 1 or tensor.dim() > 2):
            return Packed(module, name, count, kept, transposed)
    if not _is_packed_by_shape(tensor):
        return None
    how = ", ".join(sorted(uses.others)) if uses and uses.others else "no product that was seen"
    raise ModelError(
        f"{path}: weights of several experts in one tensor {list(tensor.shape)} that is used in {how}; "
        "compressing the rest only would not be what the recipe says"
    )


def _raw_parameters(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the matrices of a module that is neither a linear layer, nor an embedding, nor a convolution."""
    from torch.nn import Embedding
    from torch.nn import Linear as TorchLinear

    if isinstance(module, TorchLinear | Embedding) or "Conv" in type(module).__name__:
        return
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.dim() >= 2:
            yield name, parameter


def _is_packed_by_shape(tensor: Tensor) -> bool:
    return tensor.dim() >= 3 and min(tensor.shape[-2:]) > 1


@contextmanager
def _without_memory(network: Module) -> Iterator[None]:
    """Give the network parameters without memory, and buffers on the CPU, for the length of a `with`."""
    from torch.nn import Parameter

    places = [(module._parameters, name) for module in network.modules() for name in module._parameters]
    places += [(module._buffers, name) for module in network.modules() for name in module._buffers]  # type: ignore[misc]
    before = [owner[name] for owner, name in places]
    for (owner, name), tensor in zip(places, before, strict=True):
        if isinstance(tensor, Parameter):
            owner[name] = Parameter(tensor.data.to("meta"), requires_grad=False)
        elif tensor is not None and tensor.device.type != "meta":
            owner[name] = tensor.to("cpu")
    try:
        yield
    finally:
        for (owner, name), tensor in zip(places, before, strict=True):
            owner[name] = tensor
