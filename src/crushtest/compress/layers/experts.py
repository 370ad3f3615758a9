"""Find the experts that a model keeps in packed tensors, by how it multiplies with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.compress.layers.activations import FOREIGN_FAILURES
from crushtest.errors import ModelError, first_error_line

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


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

    A copy of the network is run without weights on a few tokens, and every product with a matrix that belongs to no
    linear layer is looked at. ModelError if one with three dimensions is not used in products of whole matrices alone.
    """
    inside = {id(module) for block in blocks for module in block.modules()}
    modules = {path: module for path, module in network.named_modules() if id(module) in inside}
    raw = {(path, name): tensor for path, module in modules.items() for name, tensor in _raw_parameters(module)}
    if not raw:
        return []
    try:
        uses = _uses(network, raw)
    except FOREIGN_FAILURES as error:
        if not any(tensor.dim() > 2 for tensor in raw.values()):
            return []
        raise ModelError(
            f"{type(network).__name__} keeps several experts in one tensor, and a run without weights to find them "
            f"failed: {first_error_line(error)}"
        ) from error
    made = [_packed(modules[place[0]], place, tensor, uses.get(place)) for place, tensor in raw.items()]
    return [packed for packed in made if packed]


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


def _uses(network: Module, raw: Iterable[tuple[str, str]]) -> dict[tuple[str, str], _Uses]:
    from crushtest.compress.layers.dry_run import DryRun, run_few_tokens, without_weights
    from crushtest.compress.layers.products import Product

    uses: dict[tuple[str, str], _Uses] = {}
    network = without_weights(network)
    watched: list[Any] = [getattr(network.get_submodule(path), name) for path, name in raw]
    places = {id(tensor): place for tensor, place in zip(watched, raw, strict=True)}

    def entry(tensor: Tensor) -> _Uses:
        return uses.setdefault(places[id(tensor)], _Uses(set(), set()))

    def see(product: Product) -> None:
        entry(product.tensor).forms.add((product.kept, product.transposed))

    def see_other(tensor: Tensor, operation: str) -> None:
        entry(tensor).others.add(operation)

    with DryRun(watched, see, see_other).on():
        run_few_tokens(network)
    return uses


def _packed(module: Module, place: tuple[str, str], tensor: Tensor, uses: _Uses | None) -> Packed | None:
    """Return what a parameter is, None if it holds no experts. ModelError if that is not clear."""
    if uses is not None and len(uses.forms) == 1 and not uses.others:
        (kept, transposed) = next(iter(uses.forms))
        count, rest = divmod(tensor.numel(), kept[0] * kept[1])
        if not rest and (count > 1 or tensor.dim() > 2):
            return Packed(module, place[1], count, kept, transposed)
    if tensor.dim() == 2:
        return None
    how = ", ".join(sorted(uses.others)) if uses and uses.others else "no product that was seen"
    raise ModelError(
        f"{'.'.join(place)}: weights of several experts in one tensor {list(tensor.shape)} that is used in {how}; "
        "compressing the rest only would not be what the recipe says"
    )


def _raw_parameters(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the matrices of a module that is neither a linear layer, nor an embedding, nor a convolution."""
    from torch.nn import Embedding
    from torch.nn import Linear as TorchLinear

    if isinstance(module, TorchLinear | Embedding) or "Conv" in type(module).__name__:
        return
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.dim() >= 2 and min(parameter.shape[-2:]) > 1:
            yield name, parameter
