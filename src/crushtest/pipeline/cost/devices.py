"""How much memory devices have."""

from __future__ import annotations

import os
from typing import NamedTuple

from crushtest.errors import UsageError
from crushtest.models.devices import default_device
from crushtest.models.places import DISK, read_places

PROCESS, ACCELERATOR = "process", "accelerator"
"""Where memory is counted."""


def held_by(device: str) -> str:
    """Return where the memory counts that a model takes on a device: with the process, or with the accelerators."""
    return PROCESS if device in ("cpu", DISK) else ACCELERATOR


class Room(NamedTuple):
    """The memory of a device."""

    device: str
    bytes: int


def room_on(device: str) -> Room | None:
    """Return the memory of a device, of the machine for `cpu`; None if it is not told or not here, or for several."""
    import torch

    try:
        places = read_places(device)
    except UsageError:
        return None
    if len(places) > 1:
        return None
    name = places[0].name if places else default_device()
    if name == "cpu":
        return Room(name, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if name.startswith("cuda"):
        return Room(name, torch.cuda.get_device_properties(name).total_memory)
    return None
