"""How many threads the libraries that compute use, and how these wait for each other.

Libraries read both from the environment when they are loaded, so a program settles them first. What the user has set
there stands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COUNTS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
"""Of torch, numpy and llama.cpp; of tables; of tokenizers."""
BLAS = "OPENBLAS_NUM_THREADS"
"""Of numpy's matrix products. A comparison runs several at once, each on a thread of its own; threads of BLAS besides
would wait for each other and spin: five times the processor time on a busy machine of two cores."""
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SPINS = 2500
"""How often a waiting thread of GNU OpenMP looks before it sleeps; left alone, some 100 times as often. A thread that
spins takes its core from whoever has work: beside another program that uses all cores, generation takes 5 times as long
instead of 2 (benchmarks/README.md)."""
FEW = 16
"""Up to how many processors the spins are set. With more, waking all threads takes longer; that was not measured."""


def settle() -> None:
    """Set what the user has not: no more threads than processors, and short spins where these are few or shared."""
    os.environ.setdefault(BLAS, "1")
    allowed = processors()
    if allowed < affinity():  # which libraries see for themselves
        for name in COUNTS:
            os.environ.setdefault(name, str(allowed))
    if not any(name in os.environ for name in WAITS) and (allowed <= FEW or allowed < (os.cpu_count() or 1)):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def use_threads(count: int) -> None:
    """Compute on that many threads: libraries not yet loaded, and torch in any case."""
    os.environ.update(dict.fromkeys(COUNTS, str(count)))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def waits() -> dict[str, str]:
    """Return what the environment says on how threads wait, by variable."""
    return {name: os.environ[name] for name in WAITS if name in os.environ}


def processors() -> int:
    """Return how many processors this process may use: its affinity's, or as many as its container's quota pays for."""
    quota = cpu_quota()
    return affinity() if quota is None else max(1, min(affinity(), int(quota)))


def affinity() -> int:
    """Return on how many processors this process may be scheduled."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(mounts: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the processor time per second that the control groups of this process grant; None without a limit.

    A limit on any group above the process's own holds as well. Inside a container its own group may be the mount
    itself, whatever path `groups` names, so the mount is always asked.
    """
    quotas = [
        quota
        for folder in group_folders("cpu", mounts, groups)
        for quota in (
            _quota(folder / "cpu.max"),
            _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"),
        )
        if quota is not None
    ]
    return min(quotas, default=None)


def group_folders(controller: str, mounts: Path, groups: Path) -> list[Path]:
    """Return the folders of this process's control groups that a controller may limit, and of those above them.

    Of either version, in whose folders files have other names. None where there are no control groups.
    """
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # no Linux
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            folders += _upwards(mounts, path)
        elif controller in controllers.split(","):
            folders += _upwards(mounts / controllers, path)
    return folders


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folder of a control group and of those above it, up to the mount."""
    own = Path(group.strip("/"))
    return [mount / own, *(mount / parent for parent in own.parents)]


def _quota(*files: Path) -> float | None:
    """Return quota / period, which one file holds or two; None for no limit, no such file or other content."""
    try:
        quota, period = map(float, " ".join(file.read_text() for file in files).split())
    except (OSError, ValueError):  # `max` is no number
        return None
    return quota / period if quota > 0 and period > 0 else None


@contextmanager
def on_threads(count: int | None) -> Iterator[None]:
    """Run with torch on that many threads; None leaves it alone."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
