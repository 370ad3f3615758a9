"""The places that `--device` names: one, or several that a model is spread over, in the order they are filled."""

from __future__ import annotations

import re
from typing import NamedTuple

from crushtest.errors import UsageError
from crushtest.models.devices import default_device, devices_here
from crushtest.printing import quoted

AUTO = "auto"
DISK = "disk"
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SIZE = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(UNITS)})", re.IGNORECASE)


class Place(NamedTuple):
    """A device, the host's memory (`cpu`) or the `disk`, and how many bytes of weights it takes.

    limit_bytes  None: as many as are free, less room to compute in
    """

    name: str
    limit_bytes: int | None = None


def read_places(device: str) -> tuple[Place, ...]:
    """Return what a text like `cuda:0`, `cuda:0,cuda:1` or `cpu=8GB,disk` names; nothing for `auto`.

    Raises UsageError for a device that is not here, one that is named twice, or a size that cannot be read.
    """
    if device == AUTO:
        return ()
    here = devices_here()
    places = [_read_place(device, part.strip(), here) for part in device.split(",")]
    if len(places) > 1:
        places = [place._replace(name=_numbered(place.name)) for place in places]
    names = [place.name for place in places]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"device {quoted(device)}: {twice[0]} is named twice")
    if DISK in names and (names[-1] != DISK or len(names) == 1):
        raise UsageError(f"device {quoted(device)}: nothing is computed on the disk; name it last, as in cpu,disk")
    return tuple(places)


def first_device(device: str) -> str:
    """Return the device that takes inputs; `auto` is the first GPU, else the CPU. Raises as `read_places` does."""
    places = read_places(device)
    return places[0].name if places else default_device()


def needs_disk(device: str) -> bool:
    """Say whether a device's text lets weights stay on the disk."""
    return device.split(",")[-1].strip() == DISK


def _read_place(device: str, text: str, here: list[str]) -> Place:
    name, equals, size = (part.strip() for part in text.partition("="))
    if name == AUTO:
        raise UsageError(f"device {quoted(device)}: {AUTO} stands alone; name every place, as in cuda:0=20GB,cpu")
    if name not in (*here, DISK):
        raise UsageError(f"device {name!r} is not on this machine (allowed: {AUTO}, {', '.join(here)})")
    if not equals:
        return Place(name)
    match = SIZE.fullmatch(size)
    if name == DISK or match is None:
        raise UsageError(
            f"device {quoted(device)}: write a limit as cpu=8GB or cuda:0=500MB, and none for the disk "
            f"(got {quoted(text)})"
        )
    return Place(name, int(float(match[1]) * UNITS[match[2].upper()]))


def _numbered(name: str) -> str:
    """Return the name of one device: a kind alone is its first."""
    return name if ":" in name or name in ("cpu", "mps", DISK) else f"{name}:0"
