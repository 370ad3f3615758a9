"""A study up to where it would begin: checked, and what it will cost."""

from __future__ import annotations

from pathlib import Path

from crushtest.pipeline.checked import check_study
from crushtest.pipeline.cost.estimate import estimate
from crushtest.pipeline.cost.records import StudyCost
from crushtest.pipeline.executors.executor import LOCAL, Executor
from crushtest.pipeline.from_dense import is_settled
from crushtest.pipeline.run import check_page, known_before
from crushtest.progress import show_progress
from crushtest.study.grow import check_growth
from crushtest.study.spec import StudySpec

ELSEWHERE = (
    "times and memory are those of this machine, one arm after another; a cluster runs as many side by side as it has "
    "room for"
)


def dry_run(spec: StudySpec, out: Path, *, skip_missing: bool = False, executor: Executor = LOCAL) -> StudyCost:
    """Return what `run_study` would cost, after the checks that it makes. Writes nothing in `out`, nor `out` itself.

    Raises as `run_study` does, for what is found before a model answers.
    """
    folder, _, plan, items, missing, calibration = check_study(spec, out, skip_missing=skip_missing, executor=executor)
    if plan.grown:
        check_growth(folder, plan, items)
    if folder.has_measured():
        for planned in plan.tasks:
            if planned.name not in plan.grown and is_settled(folder, planned):
                folder.check_items(planned.name, items[planned.name])
    check_page(plan)
    with show_progress() as progress:
        cost = estimate(folder, plan, items, calibration, progress)
    left_out = (f"left out: {name} ({why})" for name, why in missing.items())
    elsewhere = () if executor.is_here else (ELSEWHERE,)
    return cost.noting((*elsewhere, *left_out, *known_before(folder, plan, items)))
