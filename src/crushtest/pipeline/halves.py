"""A study that asks half of its clusters: one half to choose by, the other to verify what was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from crushtest.errors import UsageError
from crushtest.pipeline.joined import Joined
from crushtest.pipeline.looks import blocks_of
from crushtest.records import Item
from crushtest.stats.halves import Halves, split_clusters
from crushtest.study.plan import Plan
from crushtest.study.spec import Half


def half_of(plan: Plan, items: Mapping[str, Sequence[Item]], half: Half) -> dict[str, list[Item]]:
    """Return the items of every task whose cluster is in a half.

    Raises UsageError if a half holds no item of some task.
    """
    units = _units(plan, items)
    names = getattr(split_units(plan, items, units), half)
    kept = {
        task: [item for item, unit in zip(asked, units[task], strict=True) if unit in names]
        for task, asked in items.items()
    }
    for task, asked in kept.items():
        if not asked:
            raise UsageError(
                f"task {task!r} has too few clusters to be split in two halves (the half {half!r} is empty)"
            )
    return kept


def split_units(plan: Plan, items: Mapping[str, Sequence[Item]], units: Mapping[str, Sequence[str]]) -> Halves:
    """Return the halves of the clusters of all tasks together, even in the clusters, items and groups of each task."""
    strata: dict[str, Counter[Hashable]] = {}
    for task, asked in items.items():
        seen: set[str] = set()
        for item, unit in zip(asked, units[task], strict=True):
            of_unit = strata.setdefault(unit, Counter())
            of_unit[task, "items"] += 1
            of_unit.update((task, group) for group in item.groups)
            if item.unit not in seen:
                seen.add(item.unit)
                of_unit[task, "clusters"] += 1
    return split_clusters(strata, plan.seed)


def _units(plan: Plan, items: Mapping[str, Sequence[Item]]) -> dict[str, list[str]]:
    """Return, per task and item, the name of what must stay in one half: its cluster, and clusters it is asked with.

    Clusters of the same name in several tasks stay together as well: the same template or person may be in both.
    """
    together = Joined()
    tasks = {planned.name: planned for planned in plan.tasks}
    for task, asked in items.items():
        first: dict[str, str] = {}
        for item, block in zip(asked, blocks_of(tasks[task], asked), strict=True):
            together.join(item.unit, first.setdefault(block, item.unit))
    return {task: [together.first(item.unit) for item in asked] for task, asked in items.items()}
