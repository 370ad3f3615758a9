"""Drawing a limited number of items: seeded, and spread evenly over the groups."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from crushtest.records import Item


def spread(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """At most `limit` items in their original order, drawn in turn from every combination of groups.

    The draw of a larger limit contains that of a smaller one, so that a study can be enlarged.
    """
    if limit >= len(items):
        return list(items)
    return [items[index] for index in spread_indexes((item.groups for item in items), limit, seed)]


def spread_indexes(groups: Iterable[tuple[str, ...]], limit: int, seed: int) -> list[int]:
    """The same draw from the groups of items alone: sorted indexes."""
    cells: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, mine in enumerate(groups):
        cells[mine].append(index)
    generator = random.Random(seed)
    order = sorted(cells)
    generator.shuffle(order)
    for cell in order:
        generator.shuffle(cells[cell])
    rounds = max(len(indexes) for indexes in cells.values())
    turns = (cells[cell][turn] for turn in range(rounds) for cell in order if turn < len(cells[cell]))
    return sorted(index for index, _ in zip(turns, range(limit), strict=False))
