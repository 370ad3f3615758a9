"""Answers made elsewhere become an arm of a study, which is then compared as any other. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from crushtest.engines.elsewhere import NAME as ELSEWHERE
from crushtest.errors import StoreError, UnknownName, UsageError
from crushtest.files.regular import read_bytes, sha256
from crushtest.pipeline.compare import compare
from crushtest.pipeline.measured import complete_pairs
from crushtest.pipeline.provenance import describe_task
from crushtest.pipeline.run import write_report, write_specification
from crushtest.pipeline.score import engines_of, score
from crushtest.predictions.as_answers import Given, answers_from
from crushtest.printing import quoted
from crushtest.progress import Progress, show_progress
from crushtest.records import DENSE, Item, Score
from crushtest.scorers.calling import needs_dense
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.merge import refuse_other_options
from crushtest.study.plan import Plan, PlannedTask, make_plan
from crushtest.study.spec import ArmSpec, StudySpec, build_spec, check_names, expand, read_stored_spec
from crushtest.study.suites import resolve

Form = Literal["predictions", "completions"]
FORMS: dict[str, Form] = {"choices": "predictions", "prompts": "completions"}
"""Kind of a task -> what a file of its answers is called."""


class Added(NamedTuple):
    """What was added: how many answers to how many items, what was wrong with the file, and what was compared.

    compared  the arms that have a complete task beside dense, and so have contrasts
    """

    arm: str
    task: str
    items: int
    given: Given
    compared: tuple[str, ...]


def add_answers(
    root: Path,
    arm: str,
    task: str,
    path: Path,
    *,
    form: Form,
    options: Mapping[str, Any],
    allow_partial: bool = False,
) -> Added:
    """Add a file of answers to one task as an arm's, and compare. The study begins with those of `dense`.

    Items without a line count as unanswered. Raises UsageError for an arm or task that cannot take them, StoreError if
    the arm has answered the task already, DataError for a file with lines that cannot be used.
    """
    folder = StudyFolder(root)
    spec = _with_added(folder, arm, task, options)
    plan = make_plan(spec)
    planned = next(each for each in plan.tasks if each.name == task)
    added = next(each for each in plan.arms if each.name == arm)
    _check(folder, planned, added, form)
    items = folder.read_items(task) if folder.items_path(task).exists() else planned.draw()
    given = answers_from(task, planned.task, items, path, allow_partial=allow_partial)
    with folder.locked(), show_progress() as progress:
        write_specification(folder, spec, plan.tasks)
        folder.write_items(task, items)
        describe_task(folder, planned, items)
        manifest.start(folder.manifest, command=("crushtest", "add"), seed=plan.seed)
        _record(folder, arm, task, path)
        _write(folder, planned, arm, items, given)
        _score(folder, plan, added, planned, items, progress)
        compare(folder, plan, progress)
        write_report(folder, progress)
    compared = dict.fromkeys(name for name, of in complete_pairs(folder, plan) if of == task and name != DENSE)
    return Added(arm, task, len(items), given, tuple(compared))


def _with_added(folder: StudyFolder, arm: str, task: str, options: Mapping[str, Any]) -> StudySpec:
    """Return the study with the arm and task in it."""
    if not folder.specification.exists():
        if not folder.is_fresh():
            raise StoreError(f"{folder.root} is not empty and not a study; choose another folder")
        if arm != DENSE:
            raise UsageError(
                f"{folder.root} is no study yet: add the answers of the model before compression first (--arm {DENSE})"
            )
        content = {"model": _model(DENSE), "engine": ELSEWHERE, "suite": [{task: dict(options)}]}
        return build_spec(content, where="add")
    stored = read_stored_spec(folder.specification)
    arms = {one.title: one for listed in stored.arms for one in expand(listed)}
    engine = stored.engine if arm == DENSE else arms[arm].engine if arm in arms else ELSEWHERE
    if (engine or stored.engine) != ELSEWHERE:
        raise UsageError(f"add: arm {quoted(arm)} of {folder.root} is measured by its model; give another name")
    tasks = dict(resolve(stored.suite))
    if task not in tasks and stored.engine != ELSEWHERE:
        raise UnknownName("task", task, tasks, where=f"{folder.root} asks its dense model")
    if task not in tasks and arm != DENSE:
        raise UsageError(f"add: {folder.root} has no answers of {DENSE} to {task!r} yet; add those first")
    suite = [*({name: given} for name, given in tasks.items() if name != task)]
    asked = {task: {**tasks.get(task, {}), **options}}
    spec = stored.model_copy(update={"suite": [*suite, asked]})
    if task in tasks:
        refuse_other_options(folder, stored, spec)
        before, now = tasks[task].get("limit"), options.get("limit")
        if now not in (None, before):
            raise StoreError(f"{folder.root} asks {task!r} with limit={before}; leave limit={now} out")
        spec = stored
    if arm != DENSE and arm not in arms:
        spec = spec.model_copy(update={"arms": (*spec.arms, ArmSpec(name=arm, model=_model(arm), engine=ELSEWHERE))})
    check_names(spec)
    return spec


def _model(arm: str) -> str:
    """Return what stands in the place of the model of an arm that has none here."""
    return f"{ELSEWHERE}: {arm}"


def _check(folder: StudyFolder, planned: PlannedTask, arm: Arm, form: Form) -> None:
    """Raise unless the task takes such a file, and the arm has not answered it."""
    task, needed = planned.task, FORMS.get(planned.task.kind)
    if needed is None:
        raise UsageError(f"task {planned.name!r} asks for {task.kind}, whose answers cannot be added from a file")
    if form != needed:
        raise UsageError(f"task {planned.name!r} asks for {task.kind}: give its answers as --{needed}")
    if task.from_dense is not None and not folder.items_path(planned.name).exists():
        raise UsageError(f"task {planned.name!r} makes its items of the dense model's own answers: run it with `run`")
    log = folder.answers(arm.name, planned.name, task.kind)
    if log.complete or log.running.exists():
        raise StoreError(
            f"{folder.root}: arm {arm.name!r} has answers to {planned.name!r} already; give another name, or remove "
            f"{folder.arm(arm.name)} to add all of its answers anew"
        )


def _record(folder: StudyFolder, arm: str, task: str, path: Path) -> None:
    """Note in the manifest which file the answers came from, by its digest."""
    before = manifest.read(folder.manifest).get("arms", {}).get(arm, {}).get("engine", {}).get("files", {})
    digest = sha256(read_bytes(path, remedy="name a file that is here"))
    files = {**before, task: {"name": path.name, "sha256": digest}}
    manifest.update(folder.manifest, "arms", arm, {"engine": {"engine": ELSEWHERE, "model": None, "files": files}})


def _write(folder: StudyFolder, planned: PlannedTask, arm: str, items: list[Item], given: Given) -> None:
    log = folder.answers(arm, planned.name, planned.task.kind)
    for item in items:
        log.append(item.id, given.answers[item.id])
    log.finish([item.id for item in items])


def _score(
    folder: StudyFolder, plan: Plan, arm: Arm, planned: PlannedTask, items: list[Item], progress: Progress
) -> None:
    """Score completions. A scorer that asks the dense model scores nothing where that model is not here."""
    without_model = plan.dense.engine == ELSEWHERE
    for scorer in planned.task.scorers:
        log = folder.scores(arm.name, scorer, planned.name)
        if without_model and needs_dense(scorer) == "model" and not log.complete:
            for item in items:
                log.append(item.id, Score(None, "it asks the dense model, which is not here"))
            log.finish([item.id for item in items])
    score(folder, arm, planned, items, progress, engines_of(plan))
