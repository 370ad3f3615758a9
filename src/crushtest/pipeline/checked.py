"""A study before anything of it is loaded or written: planned, its items drawn, and checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from crushtest.data.sources import NotHere
from crushtest.errors import DataError
from crushtest.files.atomic import refuse_unwritable
from crushtest.pipeline.draws import without_failed
from crushtest.pipeline.dtypes import settle_dtype
from crushtest.pipeline.executors.executor import LOCAL, Executor
from crushtest.pipeline.from_dense import as_settled
from crushtest.pipeline.halves import half_of
from crushtest.pipeline.prepare import check_arms, check_tokenizers
from crushtest.pipeline.score import check_scorers
from crushtest.pipeline.stop_rules import check_rules
from crushtest.printing import printable
from crushtest.records import Item
from crushtest.study.folder import StudyFolder
from crushtest.study.grow import grown_tasks
from crushtest.study.merge import merge_with_existing
from crushtest.study.plan import Plan, make_plan
from crushtest.study.spec import StudySpec, check_names

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens


class Checked(NamedTuple):
    """A study that is ready to be run: everything that needs no weight is checked.

    missing       the tasks that are left out, and why
    calibration   the calibration tokens of every model that is still to be compressed
    """

    folder: StudyFolder
    spec: StudySpec
    plan: Plan
    items: dict[str, list[Item]]
    missing: dict[str, str]
    calibration: dict[tuple[str, Calibration], CalibrationTokens]


def check_study(spec: StudySpec, out: Path, *, skip_missing: bool = False, executor: Executor = LOCAL) -> Checked:
    """Return the study that `run_study` would run in `out`, checked as far as that needs no weight. Writes nothing.

    Raises as `run_study` does.
    """
    folder = StudyFolder(out)
    refuse_unwritable(out)
    check_names(spec)
    spec = merge_with_existing(settle_dtype(spec, folder, runs_on_cpu=executor.is_on_cpu), folder)
    plan = without_failed(folder, replace(make_plan(spec), grown=grown_tasks(folder, spec)))
    check_rules(plan)
    executor.check(plan)
    executor.get_ready(folder, plan)
    calibration = check_arms(folder, plan, devices=executor.is_here)
    check_scorers(folder, plan)
    items, missing = draw_items(folder, plan)
    if missing:
        plan = without(plan, missing, skip_missing=skip_missing)
    check_tokenizers(folder, plan, items)
    return Checked(folder, spec, plan, items, missing, calibration)


class Drawn(NamedTuple):
    """The items of every task whose data are here, and why the others have none."""

    items: dict[str, list[Item]]
    missing: dict[str, str]


def draw_items(folder: StudyFolder, plan: Plan) -> Drawn:
    """Return the items of every task.

    Tasks that have already run do not need their source data: their items are in the study folder.
    """
    drawn = Drawn({}, {})
    whole: dict[str, list[Item]] = {}
    for planned in plan.tasks:
        name = planned.name
        try:
            whole[name] = planned.draw()
        except NotHere as error:
            if name in plan.grown or plan.half is not None or not folder.items_path(name).exists():
                drawn.missing[name] = str(error)
                continue
            drawn.items[name] = folder.read_items(name)
    if plan.half is not None:
        whole = half_of(plan, whole, plan.half)
    for planned in plan.tasks:
        if planned.name in whole:
            drawn.items[planned.name] = as_settled(folder, planned, whole[planned.name])
    return drawn


def without(plan: Plan, missing: Mapping[str, str], *, skip_missing: bool) -> Plan:
    """Return the plan without these tasks, and name each on stderr. Raises DataError unless they may be skipped."""
    name, reason = next(iter(missing.items()))
    if not skip_missing:
        others = [other for other in missing if other != name]
        more = f"; also missing: {', '.join(others)}" if others else ""
        raise DataError(f"{reason}{more}" + ("; --skip-missing leaves such tasks out" if len(plan.tasks) > 1 else ""))
    if len(missing) == len(plan.tasks):
        raise DataError(f"no task of the suite has its data here: {reason}")
    for name, reason in missing.items():
        print(printable(f"skipped {name}: {reason}"), file=sys.stderr)
    return replace(plan, tasks=tuple(planned for planned in plan.tasks if planned.name not in missing))
