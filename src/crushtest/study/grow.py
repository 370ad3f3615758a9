"""Enlarge a study: ask more items of a task, keep every answer that is there."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.errors import StoreError
from crushtest.records import Item
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask, plan_tasks
from crushtest.study.spec import StudySpec, read_stored_spec


def grown_tasks(folder: StudyFolder, spec: StudySpec) -> frozenset[str]:
    """Return the tasks that a folder's study asked with a lower limit. Raises StoreError for a limit that is lower now.

    Items are drawn so that those of a lower limit are among those of a higher one.
    """
    if not folder.has_measured():
        return frozenset()
    before = {planned.name: planned.limit for planned in plan_tasks(read_stored_spec(folder.specification))}
    grown = set()
    for planned in plan_tasks(spec):
        if planned.name not in before or planned.limit == (old := before[planned.name]):
            continue
        if old is None or (planned.limit is not None and planned.limit < old):
            raise StoreError(
                f"{folder.root} holds task {planned.name!r} with limit={old}, this one has limit={planned.limit}: a "
                "limit can only grow; use another --out, or the same limit"
            )
        if planned.task.likeliest is not None:
            raise StoreError(
                f"{folder.root} holds task {planned.name!r} with what the dense model kept for its {old} items, which "
                "cannot grow; use another --out, or the same limit"
            )
        grown.add(planned.name)
    return frozenset(grown)


def enlarge(folder: StudyFolder, plan: Plan, planned: PlannedTask, items: Sequence[Item]) -> None:
    """Make room for the items that a task lacks: logs take records again, and the items are written anew.

    Raises StoreError if those there are not among the items, because the data changed. If it is killed, the study is
    the old one with some logs unfinished, and either command finishes it.
    """
    drawn = {item.id: item for item in items}
    there = folder.read_items(planned.name)
    if other := next((item.id for item in there if drawn.get(item.id) != item), None):
        raise StoreError(
            f"{folder.items_path(planned.name)}: item {other!r} is another one in the data of today; use another --out"
        )
    for arm in plan.measured:
        for scorer in planned.task.scorers:  # before the answers, which they say they were made from
            folder.scores(arm.name, scorer, planned.name, repeat=arm.repeat).reopen()
        folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat).reopen()
    folder.write_items(planned.name, items, anew=True)
