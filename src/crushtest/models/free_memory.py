"""How much memory is free: on a device, or for this process on the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crushtest.models.threads import group_folders


def free_bytes(device: str) -> int | None:
    """Return the bytes that are free on a device; None if the machine does not say."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cpu":
        return free_host_bytes()
    if kind == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    module: Any = {"cuda": torch.cuda, "xpu": torch.xpu}.get(kind)
    if module is None:
        return None
    held = module.memory_reserved(device) - module.memory_allocated(device)  # by torch, and not in use
    return int(module.mem_get_info(device)[0] + held)


def free_host_bytes(
    meminfo: Path = Path("/proc/meminfo"),
    mounts: Path = Path("/sys/fs/cgroup"),
    groups: Path = Path("/proc/self/cgroup"),
) -> int | None:
    """Return the bytes that this process may still take of the host's memory; None if the machine does not say.

    That is what the kernel calls available, or less where a control group limits the process.
    """
    free = [*_available(meminfo), *_left_in_groups(mounts, groups)]
    return min(free, default=None)


def _available(meminfo: Path) -> Iterator[int]:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _left_in_groups(mounts: Path, groups: Path) -> Iterator[int]:
    """Yield what each group's limit leaves. Pages of files count as used, although most could be given up."""
    for folder in group_folders("memory", mounts, groups):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            try:
                yield int((folder / limit).read_text()) - int((folder / used).read_text()) + _file_pages(folder)
            except (OSError, ValueError):  # `max` is no number
                continue


def _file_pages(folder: Path) -> int:
    """Return the bytes of a group's file pages that are not in use, which the kernel gives up when memory is asked."""
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0
