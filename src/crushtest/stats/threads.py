"""Share work among threads where there is so much of it that this pays: numpy computes beside other threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Made = TypeVar("Made")

MOST_THREADS = 4
MANY_ITEMS = 100_000
"""With fewer items, threads mostly wait for each other to let go of the interpreter."""


def each(make: Callable[[Part], Made], parts: Iterable[Part], *, in_threads: bool) -> list[Made]:
    """Return what is made of each part, in their order. The first error is raised, and what has not begun is left."""
    if not in_threads:
        return list(map(make, parts))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        return list(pool.map(make, parts))
