"""Enlarge a study: ask more items of a task, keep every answer that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crushtest.errors import StoreError
from crushtest.files.append_log import AppendLog
from crushtest.records import Item
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, plan_tasks
from crushtest.study.spec import StudySpec, read_stored_spec

Items = Mapping[str, Sequence[Item]]


def grown_tasks(folder: StudyFolder, spec: StudySpec) -> frozenset[str]:
    """Return the tasks that a folder's study asked with a lower limit. Raises StoreError for a limit that is lower now.

    Items are drawn so that those of a lower limit are among those of a higher one. The study file says how far the
    study was to grow, the manifest how far it has: they differ after a run that was killed in between.
    """
    if not folder.has_measured():
        return frozenset()
    stored = {planned.name: planned.limit for planned in plan_tasks(read_stored_spec(folder.specification))}
    noted = manifest.read(folder.manifest).get("tasks", {})
    grown = set()
    for planned in plan_tasks(spec):
        name, limit = planned.name, planned.limit
        if name not in stored:
            continue
        asked = noted[name].get("options", {}).get("limit") if name in noted else stored[name]
        if limit == stored[name] == asked:
            continue
        if limit is not None and any(old is None or limit < old for old in (stored[name], asked)):
            raise StoreError(
                f"{folder.root} holds task {name!r} with limit={stored[name]}, this one has limit={limit}: a limit can "
                "only grow; use another --out, or the same limit"
            )
        if spec.stop_early is not None:
            raise StoreError(
                f"{folder.root} asks the {asked} items of task {name!r} in an order of its own, because arms may stop "
                "early (stop_early), so that it cannot grow; use another --out, or the same limit"
            )
        if planned.task.likeliest is not None:
            raise StoreError(
                f"{folder.root} holds task {name!r} with what the dense model kept for its {asked} items, which cannot "
                "grow; use another --out, or the same limit"
            )
        grown.add(name)
    return frozenset(grown)


def check_growth(folder: StudyFolder, plan: Plan, items: Items) -> None:
    """Raise StoreError if the items there are not among the new ones, because the data changed, or a log is damaged.

    Nothing is changed until this was found for every task.
    """
    for name in plan.grown:
        drawn = {item.id: item for item in items[name]}
        there = folder.read_items(name)
        if other := next((item.id for item in there if drawn.get(item.id) != item), None):
            raise StoreError(
                f"{folder.items_path(name)}: item {other!r} is another one in the data of today; use another --out"
            )
    for log in (*_scores(folder, plan), *_answers(folder, plan)):
        log.read()


def enlarge(folder: StudyFolder, plan: Plan, items: Items) -> None:
    """Make room for the items that tasks lack: logs take records again, then the items are written anew.

    The study file already says how large the study is to be. If this is killed, the same command goes on.
    """
    # Scores say that they were made from answers, of their own arm and of dense, so they go first.
    for log in (*_scores(folder, plan), *_answers(folder, plan)):
        log.reopen()
    for name in plan.grown:
        folder.write_items(name, items[name], anew=True)


def _scores(folder: StudyFolder, plan: Plan) -> Iterator[AppendLog[Any]]:
    for planned in plan.tasks:
        if planned.name in plan.grown:
            for arm in plan.measured:
                for scorer in planned.task.scorers:
                    yield folder.scores(arm.name, scorer, planned.name, repeat=arm.repeat, draw=arm.draw)


def _answers(folder: StudyFolder, plan: Plan) -> Iterator[AppendLog[Any]]:
    for planned in plan.tasks:
        if planned.name in plan.grown:
            for arm in plan.measured:
                yield folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat, draw=arm.draw)
