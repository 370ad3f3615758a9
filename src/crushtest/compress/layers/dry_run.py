"""Run a network without its weights: what it does with them shows, and nothing is computed or kept."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from crushtest.compress.layers.products import GROUPED, PLAIN, ProductWatch, tensors_in

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Network = TypeVar("Network", bound="Module")
TOKENS = 8
_READS = "aten::_local_scalar_dense"


class DryRun(ProductWatch):
    """Run a network whose parameters have no memory: products give zeros, all other weights count as zeros."""

    def carry_out(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Return what the operation would give for weights of 0."""
        from torch import Tensor
        from torch.utils._pytree import tree_map_only

        if str(kwargs.get("device")) == "meta":
            kwargs = kwargs | {"device": "cpu"}
        name = func._schema.name
        places = {tensor.device.type for tensor in tensors_in((args, kwargs))}
        needs_values = name in PLAIN | GROUPED | {_READS} or kwargs.get("device") is not None
        if "meta" not in places or (places == {"meta"} and not needs_values):
            return func(*args, **kwargs)
        if name in GROUPED:
            return args[0].new_zeros(args[0].shape[0], args[1].shape[2])
        if name in PLAIN:
            left, right = args[-2:]
            return next(iter(_real(args))).new_zeros(*left.shape[:-1], right.shape[-1])
        args, kwargs = tree_map_only(Tensor, _as_zeros, (args, kwargs))
        return func(*args, **kwargs)


def _real(args: Any) -> list[Tensor]:
    """Return the tensors that have memory; an empty one if none has."""
    import torch

    return [tensor for tensor in tensors_in(args) if tensor.device.type != "meta"] or [torch.empty(0)]


def _as_zeros(tensor: Tensor) -> Tensor:
    import torch

    if tensor.device.type != "meta":
        return tensor
    return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)


def without_weights(network: Network) -> Network:
    """Return a copy of the network whose parameters have no memory, its buffers on the CPU."""
    from torch.nn import Parameter

    memo: dict[int, Any] = {
        id(parameter): Parameter(parameter.data.to("meta"), requires_grad=False) for parameter in network.parameters()
    }
    memo |= {id(buffer): buffer.to("cpu", copy=True) for buffer in network.buffers() if buffer.device.type != "meta"}
    return copy.deepcopy(network, memo)


def run_few_tokens(network: Module) -> None:
    """Run the network on a few tokens, without gradients."""
    import torch

    with torch.no_grad():
        network(input_ids=torch.arange(TOKENS).unsqueeze(0), use_cache=False)


def probe_without_weights(network: Any) -> None:
    """Raise the ModelError of `activations.probe` as far as a run without weights shows it.

    Where such a run fails for a reason of its own, the run with weights decides.
    """
    import torch

    from crushtest.compress.layers.activations import FOREIGN_FAILURES, probe
    from crushtest.compress.layers.offload import InPlace
    from crushtest.compress.layers.structure import find_structure

    try:
        network = without_weights(network)
        blocks = find_structure(network).blocks
        with torch.no_grad(), DryRun((), lambda _: None).on():
            probe(network, blocks, torch.arange(TOKENS).unsqueeze(0), InPlace(network))
    except FOREIGN_FAILURES:
        return
