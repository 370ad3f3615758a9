"""The whole flow of a study, readable from top to bottom.

plan -> per arm: load, compress, ask -> score -> compare -> report. What is done is never done twice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from crushtest.data.sources import NotHere, noting_stand_ins
from crushtest.errors import DataError, StoreError, UnknownName
from crushtest.files.atomic import replacing
from crushtest.pipeline.arm import check_arms, other_threads, run_arm
from crushtest.pipeline.compare import compare, compared_repeats, complete_pairs
from crushtest.pipeline.noise_floor import repeats_of
from crushtest.pipeline.score import check_scorers, engines_of, score
from crushtest.progress import Bars, Lines, show_progress
from crushtest.records import Item
from crushtest.registry import TASKS
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import (
    Plan,
    PlannedTask,
    StudySpec,
    check_answers,
    check_names,
    make_plan,
    one_by_one,
    plan_tasks,
    read_spec,
)
from crushtest.study.suites import resolve


def run_study(spec: StudySpec, out: Path, *, command: Sequence[str] = (), skip_missing: bool = False) -> bool:
    """Bring the study in `out` to its end. Returns whether there was anything left to do.

    Killed at any moment, the next call goes on where this one stopped. Arms and tasks may be added to a study;
    what has been asked of it already cannot be changed (StoreError). Tasks whose data are not here are an error
    (DataError); with `skip_missing` they are left out, and the manifest says which and why.
    """
    folder = StudyFolder(out)
    check_names(spec)
    spec = joined_with_kept(spec, folder)
    plan = make_plan(spec)
    arms = (*plan.arms, *repeats_of(spec))
    check_answers(arms, plan.tasks)
    check_arms(folder, plan, arms)
    check_scorers(folder, plan, arms)
    items, missing, stand_ins = draw_items(folder, plan)
    if missing:
        plan = without(plan, missing, skip_missing=skip_missing)
    with folder.locked():
        open_study(folder, plan, items, stand_ins)
        manifest.set_section(folder.manifest, "skipped", {name: {"reason": why} for name, why in missing.items()})
        if is_finished(folder, plan):
            return False
        for planned in plan.tasks:
            if planned.task.cost:
                print(planned.task.cost, file=sys.stderr)
            if planned.name in stand_ins:
                print(stand_in_line(planned.name, stand_ins[planned.name]), file=sys.stderr)
        if line := other_threads(folder, plan, arms):
            print(line, file=sys.stderr)
        manifest.start(folder.manifest, command=command, seed=spec.seed)
        with show_progress(sum(map(len, items.values())) * len(arms)) as progress:
            for arm in arms:
                run_arm(folder, plan, arm, items, progress)
            engines = engines_of(spec)
            for planned in plan.tasks:
                for arm in arms:
                    score(folder, arm, planned, items[planned.name], progress, engines)
            compare(folder, plan, progress)
            write_report(folder, progress)
    return True


# ---- before anything is loaded ---------------------------------------------------------------------


def joined_with_kept(spec: StudySpec, folder: StudyFolder) -> StudySpec:
    """The study in the folder with this one's arms, tasks and repeats added; `spec` itself where the folder holds none.

    A noise floor only grows: what has been measured is kept. Raises StoreError where the two disagree about anything
    else.
    """
    if not folder.specification.exists():
        if not folder.is_fresh():
            raise StoreError(f"{folder.root} is not empty and not a study; choose another --out")
        return spec
    kept = read_spec(folder.specification)
    for key in StudySpec.model_fields:
        if key not in ("arms", "suite", "noise_floor", "noise_vary") and getattr(kept, key) != getattr(spec, key):
            raise StoreError(
                f"{folder.root} holds a study with {key}={getattr(kept, key)!r}, this one has "
                f"{key}={getattr(spec, key)!r}; use another --out, or the same {key}"
            )
    refuse_other_options(folder, kept, spec)
    asked = resolve(spec.suite)
    names = {name for name, _ in asked}
    tasks = [{name: options} for name, options in (*asked, *(t for t in resolve(kept.suite) if t[0] not in names))]
    known = [one for arm in kept.arms for one in one_by_one(arm)]
    arms = (*kept.arms, *(one for arm in spec.arms for one in one_by_one(arm) if one not in known))
    return spec.model_copy(update={"arms": arms, "suite": tasks, **joined_noise(spec, kept, folder)})


def not_asked(folder: StudyFolder, spec: StudySpec) -> list[str]:
    """The tasks of the study in a folder that `spec` does not name."""
    named = {name for name, _ in resolve(spec.suite)}
    return [name for name, _ in resolve(read_spec(folder.specification).suite) if name not in named]


def refuse_other_options(folder: StudyFolder, kept: StudySpec, spec: StudySpec) -> None:
    """Raise StoreError where a task that the folder holds is asked with other options: its answers would be mixed.

    Scorers may be added: they read what has been answered.
    """
    before = {planned.name: planned.settings for planned in plan_tasks(kept)}
    for planned in plan_tasks(spec):
        had = before.get(planned.name, planned.settings)
        for option in {**had, **planned.settings}:
            old, new = had.get(option), planned.settings.get(option)
            if old != new and not (option == "scorers" and set(old or ()) <= set(new or ())):
                raise StoreError(
                    f"{folder.root} holds task {planned.name!r} with {option}={old!r}, this one has {option}={new!r}; "
                    f"use another --out, or the same {option}"
                )


def joined_noise(spec: StudySpec, kept: StudySpec, folder: StudyFolder) -> dict[str, Any]:
    """The larger noise floor of two, measured in the one way; StoreError for repeats that differ otherwise."""
    vary = spec.noise_vary if kept.noise_floor == 0 or spec.noise_vary else kept.noise_vary
    if kept.noise_floor and vary != kept.noise_vary:
        raise StoreError(
            f"{folder.root} holds repeats with noise_vary={list(kept.noise_vary)!r}, this study has "
            f"noise_vary={list(vary)!r}; use another --out, or the same noise_vary"
        )
    return {"noise_floor": max(spec.noise_floor, kept.noise_floor), "noise_vary": vary}


class Drawn(NamedTuple):
    """The items of every task whose data are here, and for the others the reason why there are none.

    stand_ins   of a task that read some: the official file's path -> the stand-in's
    """

    items: dict[str, list[Item]]
    missing: dict[str, str]
    stand_ins: dict[str, dict[str, str]]


def draw_items(folder: StudyFolder, plan: Plan) -> Drawn:
    """What every task asks.

    A task that the study has asked before needs its data no more: its items are in the folder, and what they were read
    from in the manifest.
    """
    drawn = Drawn({}, {}, {})
    for planned in plan.tasks:
        name = planned.name
        try:
            with noting_stand_ins() as stand_ins:
                drawn.items[name] = planned.draw()
        except NotHere as error:
            if not folder.items_path(name).exists():
                drawn.missing[name] = str(error)
                continue
            drawn.items[name] = folder.read_items(name)
            stand_ins = manifest.read(folder.manifest).get("tasks", {}).get(name, {}).get("stand_ins", {})
        if stand_ins:
            drawn.stand_ins[name] = stand_ins
    return drawn


def stand_in_line(task: str, stand_ins: Mapping[str, str]) -> str:
    """What is said of a task whose items are not, or not all, those of the official files."""
    files = ", ".join(stand_ins)
    return f"{task}: stand-in, not the official text: {files} (`crushtest data fetch {task}` gets the official)"


def without(plan: Plan, missing: Mapping[str, str], *, skip_missing: bool) -> Plan:
    """The plan without these tasks, each named on stderr. Raises DataError unless they may be left out."""
    name, reason = next(iter(missing.items()))
    if not skip_missing:
        others = [other for other in missing if other != name]
        more = f"; missing as well: {', '.join(others)}" if others else ""
        raise DataError(f"{reason}{more}" + ("; --skip-missing leaves such tasks out" if len(plan.tasks) > 1 else ""))
    if len(missing) == len(plan.tasks):
        raise DataError(f"no task of the suite has its data here: {reason}")
    for name, reason in missing.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    return replace(plan, tasks=tuple(planned for planned in plan.tasks if planned.name not in missing))


def open_study(
    folder: StudyFolder,
    plan: Plan,
    items: Mapping[str, Sequence[Item]],
    stand_ins: Mapping[str, dict[str, str]],
) -> None:
    """Write the resolved study and its items, or see that those in the folder are the same.

    A new study is written before its items: killed in between, the folder is known for a study.
    """
    if not folder.specification.exists():
        write_specification(folder, plan)
    for planned in plan.tasks:
        folder.write_items(planned.name, items[planned.name])
    write_specification(folder, plan)
    for planned in plan.tasks:
        describe_task(folder, planned, items[planned.name], stand_ins.get(planned.name, {}))


def write_specification(folder: StudyFolder, plan: Plan) -> None:
    """Write study.yaml, every default visible, unless it says just that already."""
    tasks = [{planned.name: planned.settings} for planned in plan.tasks]
    resolved = plan.spec.model_dump(mode="json", exclude={"limit"}) | {"suite": tasks}
    if plan.spec.limit is not None:
        resolved["limit"] = plan.spec.limit
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    if not folder.specification.exists() or folder.specification.read_text(encoding="utf-8") != text:
        with replacing(folder.specification) as temporary:
            temporary.write_text(text, encoding="utf-8")


def describe_task(folder: StudyFolder, planned: PlannedTask, items: Sequence[Item], stand_ins: dict[str, str]) -> None:
    """Put a task into the manifest, and again when scorers were added to it, or what it read was not noted yet."""
    options = json.loads(json.dumps(planned.options))
    kept = manifest.read(folder.manifest).get("tasks", {}).get(planned.name, {})
    if kept.get("options") == options and kept.get("stand_ins", {}) == stand_ins:
        return
    about = {fact: value for fact, value in asdict(TASKS.get(planned.name).about).items() if fact != "predictions"}
    facts = {**about, "options": options, "items": len(items), "sha256": manifest.items_digest(items)}
    if stand_ins:
        facts["stand_ins"] = stand_ins
    manifest.update(folder.manifest, "tasks", planned.name, facts)


def is_finished(folder: StudyFolder, plan: Plan) -> bool:
    """Whether everything is answered, scored, compared and reported."""
    if not (folder.estimates.exists() and folder.contrasts.exists() and folder.report.exists()):
        return False
    if folder.outdated.exists():
        return False
    pairs = {(arm.name, planned.name) for arm in plan.arms for planned in plan.tasks}
    if pairs != set(complete_pairs(folder, plan)) or pairs != folder.estimated_pairs():
        return False
    return compared_repeats(folder, plan) == {task.name: plan.spec.noise_floor for task in plan.tasks}


# ---- after the answers -----------------------------------------------------------------------------


def write_report(folder: StudyFolder, progress: Bars | Lines) -> None:
    """Make report.html from the files of the study."""
    from crushtest import report

    with progress.step("writing the report", 1) as advance:
        report.write_report(folder)
        advance(1)


def recompare(folder: StudyFolder, *, task: str | None = None) -> None:
    """Make estimates, contrasts and report anew from the stored answers. Needs neither models nor data.

    Raises UnknownName, before anything is computed, where the study lacks the `task` that its caller wants to show.
    """
    plan = make_plan(read_spec(folder.specification))
    known = [planned.name for planned in plan.tasks]
    if task is not None and task not in known:
        raise UnknownName("task", task, known, where=f"{folder.root}")
    with folder.locked(), show_progress(0) as progress:
        compare(folder, plan, progress)
        write_report(folder, progress)
