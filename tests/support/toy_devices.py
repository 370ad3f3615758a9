"""Two devices that are no hardware: tensors on `toy:0` and `toy:1` hold ordinary ones, and refuse to meet.

Whatever an operation is given must be on one device, as on a machine with two GPUs; numbers (tensors without dimensions
on the CPU) may go anywhere. Results are those of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

KIND = "toy"


class OnToy(torch.Tensor):
    """A tensor on a toy device."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, device: torch.device) -> Any:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=device,
            requires_grad=False,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(function, args, kwargs or {})

    def tolist(self) -> Any:
        return self.inner.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl


def computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU; the result is on the device that the arguments are on, or that is asked for."""
    if function.overloadpacket is torch.ops.aten.to:  # in inference mode it comes whole
        with ToyMode():
            return function.decompose(*args, **kwargs)
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    toys = {each.device for each in tensors if isinstance(each, OnToy)}
    plain = [each for each in tensors if not isinstance(each, OnToy) and each.dim()]
    copies = function in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
    if (len(toys) > 1 or (toys and plain)) and not copies:
        raise RuntimeError(f"{function}: tensors on several devices: {toys}, {len(plain)} on the CPU")
    asked = kwargs.get("device")
    place = torch.device(asked) if asked is not None else next(iter(toys), None)
    if copies and function is torch.ops.aten.copy_.default:
        place = args[0].device
    kwargs = {**kwargs, **({"device": torch.device("cpu")} if asked is not None else {})}
    inner = function(*tree_map(_inside, args), **tree_map(_inside, kwargs))
    if _writes(function):
        return args[0] if not isinstance(inner, tuple) else inner
    if place is None or place.type != KIND:
        return inner
    return tree_map(lambda each: OnToy(each, place) if isinstance(each, torch.Tensor) else each, inner)


def _writes(function: Any) -> bool:
    first = function._schema.arguments[:1]
    return bool(first) and first[0].alias_info is not None and first[0].alias_info.is_write


def _inside(value: Any) -> Any:
    return value.inner if isinstance(value, OnToy) else value


class ToyMode(TorchDispatchMode):
    """Sees calls without a tensor as well: `torch.zeros(3, device="toy:1")`."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(function, args, kwargs or {})


@contextmanager
def toy_devices() -> Iterator[None]:
    """Let there be toy devices. They stay registered, so a process of its own should ask for them."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(KIND)
    torch._C._set_only_lift_cpu_tensors(True)  # or torch.tensor goes past the mode
    inference_mode, torch.inference_mode = torch.inference_mode, torch.no_grad  # type: ignore[assignment, misc]
    try:
        with ToyMode():
            yield
    finally:
        torch.inference_mode = inference_mode  # type: ignore[misc]
        torch._C._set_only_lift_cpu_tensors(False)


def spread(network: Any, places: dict[str, str]) -> None:
    """Put modules of a network, by name, on devices, with accelerate's hooks between them."""
    from accelerate.hooks import attach_align_device_hook_on_blocks

    for name, place in places.items():
        for module in network.get_submodule(name).modules():
            for tensors in (module._parameters, module._buffers):
                for key, tensor in tensors.items():
                    if tensor is not None and not isinstance(tensor, OnToy):
                        moved: Any = OnToy(tensor.detach().clone(), torch.device(place))
                        is_weight = tensors is module._parameters
                        tensors[key] = torch.nn.Parameter(moved, requires_grad=False) if is_weight else moved
    devices = {name: torch.device(place) for name, place in places.items()}
    first = next(iter(devices.values()))
    attach_align_device_hook_on_blocks(
        network, execution_device={**devices, "": first}, offload=dict.fromkeys(places, False)
    )
