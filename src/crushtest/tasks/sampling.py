"""Draw a limited number of items with a seed, evenly over the groups."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from crushtest.records import Item


def stratified_sample(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """Return at most `limit` items in their original order, drawn in turn from every combination of groups.

    A larger limit draws the same items and more, so that a study can be enlarged.
    """
    if limit >= len(items):
        return list(items)
    return [items[index] for index in stratified_indexes((item.groups for item in items), limit, seed)]


def stratified_indexes(groups: Iterable[tuple[str, ...]], limit: int, seed: int) -> list[int]:
    """Return the sorted indexes of the items that `stratified_sample` draws, given only their groups."""
    strata: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, combination in enumerate(groups):
        strata[combination].append(index)
    generator = random.Random(seed)
    order = sorted(strata)
    generator.shuffle(order)
    for stratum in order:
        generator.shuffle(strata[stratum])
    rounds = max(len(indexes) for indexes in strata.values())
    turns = (strata[stratum][turn] for turn in range(rounds) for stratum in order if turn < len(strata[stratum]))
    return sorted(index for index, _ in zip(turns, range(limit), strict=False))
