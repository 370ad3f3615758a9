"""Memory of this process: the most that it has held, and what it keeps of what is freed."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from typing import Any

# From malloc.h of glibc.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LIMIT = 2**28


def peak_memory_bytes() -> dict[str, int]:
    """Return the most bytes held: `process` (resident, mapped files included) and `accelerator` (torch's), if any.

    Several accelerators are added up, each at its own peak.
    """
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    torch = sys.modules.get("torch")  # without it nothing is on an accelerator
    if torch is not None and torch.cuda.is_available():
        peak["accelerator"] = sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
    return peak


def forget_peak_memory() -> None:
    """Count the most bytes held anew from now on: those of the accelerator, and on Linux those of the process."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as counters:
            counters.write("5")
    except OSError:  # no Linux, or not allowed: the peak stays that of the whole process
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""How the allocators of torch say it: the CPU's, that of Windows, accelerators'."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory was too small for what was asked of it."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def give_back_memory() -> None:
    """Give back what is not in use, and was held for the next allocation, to the system or the device."""
    gc.collect()
    if (trim := _of_libc("malloc_trim")) is not None:
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks of up to 256 MB for the next allocation; elsewhere nothing happens.

    By default it returns every large block to the system, which then hands out zeroed pages one fault at a time.
    A network's forward pass frees and allocates its activations all the time: a pack of 2048 tokens through
    SmolLM2-135M took 1.9 s on two cores, and 1.5 s with the blocks kept. For the whole process, and cheap to repeat.
    """
    if (mallopt := _of_libc("mallopt")) is not None:
        mallopt(MMAP_THRESHOLD, LIMIT)
        mallopt(TRIM_THRESHOLD, 2 * LIMIT)


def _of_libc(name: str) -> Any:
    """Return a function of glibc, None where there is another library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
