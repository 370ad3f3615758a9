"""The devices of this machine."""

from __future__ import annotations

from crushtest.errors import UsageError


def resolve_device(device: str) -> str:
    """Return a device's name; `auto` is the first GPU, else the CPU. Raises UsageError for one that is not here."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    here = devices_here()
    if device not in here:
        raise UsageError(f"device {device!r} is not on this machine (allowed: auto, {', '.join(here)})")
    return device


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
