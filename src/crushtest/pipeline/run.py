"""Run a study from start to finish.

plan -> per arm: load, compress, ask -> score -> compare -> report. Nothing is done twice.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from crushtest.data.published.catalogue import read_points
from crushtest.errors import UnknownName
from crushtest.files.atomic import replacing
from crushtest.gate.policy import read_policy
from crushtest.pipeline.across import recorded_refusals, refused_pairs
from crushtest.pipeline.checked import check_study
from crushtest.pipeline.compare import compare, compared_repeats
from crushtest.pipeline.context import Run
from crushtest.pipeline.draws import compared_draws, planned_draws, without_failed
from crushtest.pipeline.dtypes import bfloat16_offer
from crushtest.pipeline.executors.executor import LOCAL, Executor
from crushtest.pipeline.from_dense import is_settled
from crushtest.pipeline.looks import parts_asked
from crushtest.pipeline.measured import complete_pairs
from crushtest.pipeline.page import has_more_to_show, write_page
from crushtest.pipeline.provenance import describe_task, other_threads
from crushtest.pipeline.remote.saving import saving
from crushtest.pipeline.remote.working_copy import WorkingCopy
from crushtest.pipeline.score import engines_of, score
from crushtest.pipeline.stop_rules import forget_finished, never_settled, not_judged, note_policy
from crushtest.pipeline.workload import workload
from crushtest.printing import printable
from crushtest.progress import Progress, show_progress
from crushtest.records import DENSE, Item
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.grow import check_growth, enlarge
from crushtest.study.merge import accepted, compared_also
from crushtest.study.plan import Plan, PlannedTask, make_plan
from crushtest.study.spec import StudySpec, read_stored_spec, stored_text
from crushtest.study.stops import goes_on, is_asked, stops_of


def run_study(
    spec: StudySpec,
    out: Path,
    *,
    command: Sequence[str] = (),
    skip_missing: bool = False,
    executor: Executor = LOCAL,
    copy: WorkingCopy | None = None,
) -> bool:
    """Finish the study in `out`; `executor` asks its arms. Returns False if there was nothing left to do.

    If it is killed at any moment, the next call resumes. Arms and tasks may be added to a study, but its settings
    cannot be changed (StoreError). Tasks whose data are missing are an error (DataError); with `skip_missing` they are
    left out, and the manifest says which and why. If `out` is the working `copy` of a study at an address, each
    finished part is uploaded.
    """
    StudyFolder(out).refuse_if_locked()
    checked = check_study(spec, out, skip_missing=skip_missing, executor=executor)
    folder, spec, plan, items, missing, calibration = checked
    gained = has_more_to_show(folder, plan)
    with folder.locked():
        if not folder.has_measured():
            folder.forget_plan()
        for name in sorted(plan.grown):
            before, now = len(folder.read_items(name)), len(items[name])
            note = f"{name}: {now} items instead of {before}; only the new ones are asked"
            print(printable(note), file=sys.stderr)
        if gained and folder.report.exists():
            folder.outdated.touch()  # before the study file names them, so that a killed run draws them when it resumes
        open_study(folder, spec, plan, items)
        plan = replace(plan, grown=frozenset())
        manifest.set_section(folder.manifest, "skipped", {name: {"reason": why} for name, why in missing.items()})
        if is_finished(folder, plan):
            return False
        check_page(plan)
        note_policy(folder, plan)
        offer = bfloat16_offer(folder, spec, plan) if executor.is_here else ""
        for line in filter(None, [*known_before(folder, plan, items), offer]):
            print(printable(line), file=sys.stderr)
        system = {} if spec.system is None else {"message": {"text": spec.system}}
        manifest.set_section(folder.manifest, "system", system)
        manifest.start(folder.manifest, command=command, seed=plan.seed)
        with show_progress(workload(folder, plan, items)) as shown:
            progress = saving(shown, copy)
            run = Run(folder, plan, items, calibration=calibration, progress=progress, engines=engines_of(plan))
            executor.run_arms(run)
            plan = without_failed(folder, plan)
            for planned in plan.tasks:
                for arm in plan.measured:
                    to_ask = any(asked.name == planned.name for asked in plan.asked_of(arm))
                    if to_ask and is_asked(folder, plan, arm, planned):
                        parts = parts_asked(folder, plan, arm, planned, items[planned.name])
                        score(folder, arm, planned, items[planned.name], progress, run.engines, parts=parts)
            forget_finished(folder, plan)
            compare(folder, plan, progress)
            write_report(folder, progress)
    return True


def known_before(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]]) -> Iterator[str]:
    """Yield what can be said before anything is asked: what tasks cost, which rules stay open, other threads."""
    yield from (planned.task.cost(len(items[planned.name])) for planned in plan.tasks if planned.task.cost)
    for line in not_judged(plan, items):
        yield f"{line}; crushtest gate is inconclusive about that"
    for name, reasons in never_settled(plan).items():
        yield f"{name} cannot be settled by a part of its items: {', '.join(reasons)}"
    if line := other_threads(folder, plan):
        yield line


def check_page(plan: Plan) -> None:
    """Raise now what would keep the page from being written at the end: a source or a policy that is not there."""
    for source in plan.beside:
        read_points(source)
    if plan.policy is not None:
        read_policy(plan.policy)


# ---- before anything is loaded ---------------------------------------------------------------------


def open_study(
    folder: StudyFolder,
    spec: StudySpec,
    plan: Plan,
    items: Mapping[str, Sequence[Item]],
) -> None:
    """Write the resolved study and its items, or check that those in the folder are the same.

    The study file is written before the items, so that a folder whose run was killed in between counts as a study, and
    one that grows as the larger study.
    """
    if plan.grown:
        check_growth(folder, plan, items)
    if plan.grown or not folder.specification.exists():
        write_specification(folder, spec, plan.tasks)
    if plan.grown:
        enlarge(folder, plan, items)
    settled = [planned for planned in plan.tasks if is_settled(folder, planned)]
    for planned in settled:
        folder.write_items(planned.name, items[planned.name])
    write_specification(folder, spec, plan.tasks)
    for planned in settled:
        describe_task(folder, planned, items[planned.name])


def write_specification(folder: StudyFolder, spec: StudySpec, tasks: Sequence[PlannedTask]) -> None:
    """Write study.yaml with every default visible, unless it already says the same."""
    suite = [{planned.name: planned.settings} for planned in tasks]
    resolved = spec.model_dump(mode="json", exclude={"limit"}) | {"suite": suite}
    if spec.limit is not None:
        resolved["limit"] = spec.limit
    with replacing(folder.specification) as temporary:
        temporary.write_bytes(stored_text(resolved).encode())


def is_finished(folder: StudyFolder, plan: Plan) -> bool:
    """Return True if everything is answered, scored, compared and reported."""
    if not folder.has_current_report() or not folder.results.are_sound():
        return False
    stopped = {arm for arm, _ in stops_of(folder, plan)}
    if any(arm.name in stopped and goes_on(plan, arm) for arm in plan.arms):
        return False
    pairs = {
        (arm.name, planned.name) for arm in plan.arms for planned in plan.tasks if is_asked(folder, plan, arm, planned)
    }
    estimated = {(row.arm, row.task) for row in folder.read_estimates()}
    if pairs != set(complete_pairs(folder, plan)) or pairs != estimated:
        return False
    noted = manifest.read(folder.manifest)
    if folder.results.is_tied() and manifest.FILES not in noted:  # it was removed, and a comparison writes it anew
        return False
    refused = refused_pairs(noted, plan, {arm.name for arm in plan.arms}).keys()
    if refused != recorded_refusals(noted):
        return False
    contrasted = {(row.arm, row.against) for row in folder.read_contrasts() if row.against != DENSE}
    if {pair for pair in plan.pairs if DENSE not in pair} - refused != contrasted:
        return False
    if compared_draws(folder, plan) != {planned.name: planned_draws(plan, planned) for planned in plan.tasks}:
        return False
    repeats = dict(Counter(arm.name for arm in plan.repeats))
    return compared_repeats(folder, plan) == {planned.name: repeats for planned in plan.tasks}


# ---- after the answers -----------------------------------------------------------------------------


def write_report(folder: StudyFolder, progress: Progress) -> None:
    """Write report.html from the study's files."""
    with progress.step("writing the report", 1) as advance:
        write_page(folder)
        advance(1)


def recompare(
    folder: StudyFolder,
    *,
    task: str | None = None,
    against: str | None = None,
    arm: str | None = None,
    accept: str | None = None,
) -> None:
    """Recompute estimates, contrasts and report from the stored answers. Needs neither models nor data.

    Compares one arm, or every one, with `against` as well, and accepts in words that one arm's engine disagrees with
    another; the study keeps both. Raises UnknownName before anything is computed if the study lacks one of them or
    `task`, which the caller wants to show.
    """
    spec = read_stored_spec(folder.specification)
    if against is not None:
        spec = compared_also(spec, against, arm)
    if accept is not None:
        spec = accepted(spec, accept, arm)
    plan = make_plan(spec)
    names = [planned.name for planned in plan.tasks]
    if task is not None and task not in names:
        raise UnknownName("task", task, names, where=f"{folder.root}")
    with folder.locked(), show_progress() as progress:
        folder.results.refuse_lost_sources()
        if against is not None or accept is not None:
            write_specification(folder, spec, plan.tasks)
        compare(folder, plan, progress)
        write_report(folder, progress)
