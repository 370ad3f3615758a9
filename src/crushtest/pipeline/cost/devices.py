"""How much memory devices have."""

from __future__ import annotations

import os
from typing import NamedTuple

from crushtest.models.devices import devices_here
from crushtest.models.places import first_device


class Room(NamedTuple):
    """The memory of a device."""

    device: str
    bytes: int


def room_on(device: str) -> Room | None:
    """Return the memory of a device, of the machine for `cpu`; None if it is not told, or not here."""
    import torch

    if device not in ("auto", *devices_here()):
        return None
    name = first_device(device)
    if name == "cpu":
        return Room(name, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if name.startswith("cuda"):
        return Room(name, torch.cuda.get_device_properties(name).total_memory)
    return None
