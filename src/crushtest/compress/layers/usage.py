"""Which linear layers a network uses, and how: seen in a run without weights on a few tokens."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class Usage(NamedTuple):
    """Names of layers: those that were called, and those whose weights were used, by a call or in any other way."""

    called: frozenset[str]
    used: frozenset[str]


def usage(network: Module, names: Iterable[str]) -> Usage | None:
    """Return how the layers of these names are used; None if the network does not run without weights."""
    from crushtest.compress.layers.activations import FOREIGN_FAILURES
    from crushtest.compress.layers.dry_run import DryRun, run_few_tokens, without_weights
    from crushtest.compress.layers.products import Product

    called: set[str] = set()
    used: set[int] = set()

    def calling(name: str) -> Any:
        return lambda *_: called.add(name)

    def see(product: Product) -> None:
        used.add(id(product.tensor))

    def see_other(tensor: Tensor, _: str) -> None:
        used.add(id(tensor))

    network = without_weights(network)
    modules: dict[str, Any] = {name: network.get_submodule(name) for name in names}
    for name, module in modules.items():
        module.register_forward_pre_hook(calling(name))
    try:
        with DryRun([module.weight for module in modules.values()], see, see_other).on():
            run_few_tokens(network)
    except FOREIGN_FAILURES:
        return None
    return Usage(frozenset(called), frozenset(name for name, module in modules.items() if id(module.weight) in used))


def unused_parts(network: Module, blocks: Mapping[str, Module], linears: Iterable[str]) -> frozenset[str]:
    """Return the names of the parts of blocks that the network never runs.

    A decoder that was made to read an encoder's states keeps its attention to them where there is no encoder. A part
    is a module right below a block; it runs if any of the linear layers in it is used.

    blocks   by name
    linears  the names of all linear layers in them
    """
    reading = [name for name, block in blocks.items() if "encoder_hidden_states" in _parameters(block)]
    within = {name: _part(name, reading) for name in linears}
    parts = {part for part in within.values() if part}
    seen = usage(network, [name for name, part in within.items() if part]) if parts else None
    if seen is None:
        return frozenset()
    return frozenset(parts - {within[name] for name in seen.called | seen.used})


def _part(linear: str, blocks: Iterable[str]) -> str | None:
    """Return the name of the part of one of these blocks that a layer is in; None if it is in none of them."""
    block = next((block for block in blocks if linear.startswith(f"{block}.")), None)
    return None if block is None else f"{block}.{linear.removeprefix(f'{block}.').partition('.')[0]}"


def _parameters(block: Module) -> Iterable[str]:
    return inspect.signature(block.forward).parameters
