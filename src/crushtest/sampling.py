"""Drawing a limited number of items: seeded, and spread evenly over the groups."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from crushtest.records import Item


def spread(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """At most `limit` items in their original order, drawn in turn from every combination of groups.

    The draw of a larger limit contains that of a smaller one, so that a study can be enlarged.
    """
    if limit >= len(items):
        return list(items)
    cells: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        cells[item.groups].append(index)
    generator = random.Random(seed)
    order = sorted(cells)
    generator.shuffle(order)
    for cell in order:
        generator.shuffle(cells[cell])
    rounds = max(len(indexes) for indexes in cells.values())
    turns = (cells[cell][turn] for turn in range(rounds) for cell in order if turn < len(cells[cell]))
    drawn = [index for index, _ in zip(turns, range(limit), strict=False)]
    return [items[index] for index in sorted(drawn)]
