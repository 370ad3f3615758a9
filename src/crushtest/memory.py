"""The most memory that this process has held so far."""

from __future__ import annotations

import resource
import sys


def peak_memory_bytes() -> dict[str, int]:
    """`process`: resident memory, mapped files included; `accelerator`: what torch allocated there, if there is one."""
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    torch = sys.modules.get("torch")  # who has not loaded it has nothing on an accelerator
    if torch is not None and torch.cuda.is_available():
        peak["accelerator"] = torch.cuda.max_memory_allocated()
    return peak
