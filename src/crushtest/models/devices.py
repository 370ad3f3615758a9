"""The devices of this machine, and those that a network is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def devices_here() -> list[str]:
    """Return this machine's devices: `cpu`, then every other kind by its name and by its name with each number."""
    import torch

    kinds = {"cuda": torch.cuda, "mps": torch.mps, "xpu": torch.xpu}
    counts = {kind: module.device_count() for kind, module in kinds.items()}
    names = ["cpu"]
    for kind, count in counts.items():
        if count:
            names += [kind, *(f"{kind}:{number}" for number in range(count))]
    return names


def default_device() -> str:
    """Return the device that `auto` begins with: the first GPU, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def input_device(network: Any) -> torch.device:
    """Return where a network takes its inputs and returns its logits, wherever its weights are.

    A network that is spread over devices, or whose weights wait elsewhere, has hooks of accelerate's that move what it
    is given. Its first parameter may be without memory.
    """
    import torch

    place = getattr(getattr(network, "_hf_hook", None), "execution_device", None)
    device: torch.device = network.device if place is None else torch.device(place)
    return device
