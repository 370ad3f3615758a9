"""The whole flow of a study, readable from top to bottom.

plan -> per arm: load, compress, ask -> score -> compare -> report. What is done is never done twice.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crushtest import manifest
from crushtest.appendlog import AppendLog
from crushtest.errors import EngineError, StoreError
from crushtest.files import replacing, write_json
from crushtest.plan import DENSE, Arm, Plan, PlannedTask, StudySpec, make_plan, read_spec
from crushtest.progress import Bars, Lines, show_progress
from crushtest.records import Answer, ChoiceScores, Completion, Exchange, Item, PassageScore, Score
from crushtest.recipes import Recipe
from crushtest.registry import SCORERS, TASKS
from crushtest.store import StudyFolder
from crushtest.suites import resolve

if TYPE_CHECKING:
    from crushtest.compress import CompressionRecord
    from crushtest.engines.base import Engine
    from crushtest.models import LoadedModel

SCORING_BATCH = 256


def run_study(spec: StudySpec, out: Path, *, command: Sequence[str] = ()) -> bool:
    """Bring the study in `out` to its end. Returns whether there was anything left to do.

    Killed at any moment, the next call goes on where this one stopped. Arms and tasks may be added to a study;
    what has been asked of it already cannot be changed (StoreError).
    """
    folder = StudyFolder(out)
    spec = joined_with_kept(spec, folder)
    plan = make_plan(spec)
    check_models(folder, plan)
    items = {planned.name: planned.draw() for planned in plan.tasks}
    with folder.locked():
        open_study(folder, plan, items)
        if is_finished(folder, plan):
            return False
        manifest.start(folder.manifest, command=command, seed=spec.seed)
        with show_progress(sum(map(len, items.values())) * len(plan.arms)) as progress:
            for arm in plan.arms:
                run_arm(folder, plan, arm, items, progress)
            for planned in plan.tasks:
                for arm in plan.arms:
                    score(folder, arm.name, planned, items[planned.name], progress)
            compare(folder, plan, progress)
            write_report(folder, progress)
    return True


# ---- before anything is loaded ---------------------------------------------------------------------


def joined_with_kept(spec: StudySpec, folder: StudyFolder) -> StudySpec:
    """The study in the folder with this one's arms and tasks added; `spec` itself where the folder holds none.

    Raises StoreError where the two disagree about anything else.
    """
    if not folder.specification.exists():
        if folder.root.exists() and any(path.name != ".lock" for path in folder.root.iterdir()):
            raise StoreError(f"{folder.root} is not empty and not a study; choose another --out")
        return spec
    kept = read_spec(folder.specification)
    for key in StudySpec.model_fields:
        if key not in ("arms", "suite") and getattr(kept, key) != getattr(spec, key):
            raise StoreError(
                f"{folder.root} holds a study with {key}={getattr(kept, key)!r}, this one has "
                f"{key}={getattr(spec, key)!r}; use another --out, or the same {key}"
            )
    asked = resolve(spec.suite)
    names = {name for name, _ in asked}
    tasks = [{name: options} for name, options in (*asked, *(t for t in resolve(kept.suite) if t[0] not in names))]
    arms = (*kept.arms, *(arm for arm in spec.arms if arm not in kept.arms))
    return spec.model_copy(update={"arms": arms, "suite": tasks})


def check_models(folder: StudyFolder, plan: Plan) -> None:
    """Raise ModelError for a model that cannot be had and UsageError for a recipe that does not fit its layers.

    Arms that are answered already need neither.
    """
    pairs = set(complete_pairs(folder, plan))
    open_arms = [arm for arm in plan.arms if any((arm.name, task.name) not in pairs for task in plan.tasks)]
    real = [arm for arm in open_arms if arm.engine == "hf"]
    if not real:
        return
    from crushtest.models import check_model

    for model in {arm.model: None for arm in real}:
        check_model(model, allow_pickle=plan.spec.allow_pickle)
    for arm in real:
        if arm.recipe is not None:
            check_recipe(plan.spec, arm.model, arm.recipe)


def check_recipe(spec: StudySpec, model: str, recipe: Recipe) -> None:
    """Raise UsageError where a recipe does not fit the shapes of a model. No weight is read."""
    from crushtest import compress
    from crushtest.models import load_config

    options = {"trust_remote_code": spec.trust_remote_code, "allow_pickle": spec.allow_pickle}
    compress.check(recipe, load_config(model, **options))


def open_study(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]]) -> None:
    """Write the resolved study and its items, or see that those in the folder are the same."""
    for planned in plan.tasks:
        folder.write_items(planned.name, items[planned.name])
    tasks = [{planned.name: planned.options | limit_of(planned)} for planned in plan.tasks]
    resolved = plan.spec.model_dump(mode="json", exclude={"limit"}) | {"suite": tasks}
    if plan.spec.limit is not None:
        resolved["limit"] = plan.spec.limit
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    if not folder.specification.exists() or folder.specification.read_text(encoding="utf-8") != text:
        with replacing(folder.specification) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for planned in plan.tasks:
        describe_task(folder, planned, items[planned.name])


def limit_of(planned: PlannedTask) -> dict[str, int]:
    """The study's own draw, as a task's option in a study file."""
    return {} if planned.limit is None else {"limit": planned.limit}


def describe_task(folder: StudyFolder, planned: PlannedTask, items: Sequence[Item]) -> None:
    """Put a task into the manifest, once."""
    if planned.name in manifest.read(folder.manifest).get("tasks", {}):
        return
    about = TASKS.get(planned.name).about
    facts = {**about, "options": planned.options, "items": len(items), "sha256": manifest.items_digest(items)}
    manifest.update(folder.manifest, "tasks", planned.name, facts)


def is_finished(folder: StudyFolder, plan: Plan) -> bool:
    """Whether everything is answered, scored, compared and reported."""
    if not (folder.estimates.exists() and folder.contrasts.exists() and folder.report.exists()):
        return False
    pairs = {(arm.name, planned.name) for arm in plan.arms for planned in plan.tasks}
    return pairs == set(complete_pairs(folder, plan)) == folder.estimated_pairs()


def complete_pairs(folder: StudyFolder, plan: Plan) -> list[tuple[str, str]]:
    """The (arm, task) pairs that are answered and scored to the last item."""
    return [
        (arm.name, planned.name)
        for planned in plan.tasks
        for arm in plan.arms
        if folder.answers(arm.name, planned.name, planned.task.kind).complete
        and all(folder.scores(arm.name, scorer, planned.name).complete for scorer in planned.task.scorers)
    ]


# ---- one arm ---------------------------------------------------------------------------------------


def run_arm(
    folder: StudyFolder, plan: Plan, arm: Arm, items: Mapping[str, Sequence[Item]], progress: Bars | Lines
) -> None:
    """Load the arm's model, compress it, and ask it what it has not answered. Nothing is loaded if nothing is open."""
    logs = {planned.name: folder.answers(arm.name, planned.name, planned.task.kind) for planned in plan.tasks}
    engine = None
    for planned in plan.tasks:
        log, asked = logs[planned.name], items[planned.name]
        with progress.step(f"{arm.name} · {planned.name}", len(asked), done=len(log.read()), weight=1) as advance:
            if log.complete:
                continue
            engine = engine or prepare(folder, plan.spec, arm, progress)
            for count in ask(engine, planned, asked, log):
                advance(count)
    del engine
    gc.collect()


def prepare(folder: StudyFolder, spec: StudySpec, arm: Arm, progress: Bars | Lines) -> Engine:
    """The engine of an arm, its model loaded and compressed, and both written down."""
    from crushtest.engines import load_engine

    began = time.monotonic()
    if arm.engine != "hf":
        engine = load_engine(arm.model, engine=arm.engine, **arm.engine_options)
        manifest.update(folder.manifest, "arms", arm.name, {"engine": engine.describe()})
        return engine
    from crushtest.models import load_model

    with progress.step(f"{arm.name} · loading {arm.model}", 1) as advance:
        model = load_model(
            arm.model,
            dtype=spec.dtype,
            device=spec.device,
            trust_remote_code=spec.trust_remote_code,
            allow_pickle=spec.allow_pickle,
        )
        advance(1)
    if arm.recipe is not None:
        record = compress_arm(spec, arm.name, arm.recipe, model, progress)
        write_json(folder.compression(arm.name), record.to_json())
    engine = load_engine(model, engine=arm.engine, **arm.engine_options)
    facts = {"model": model.facts, "engine": engine.describe(), "prepared_in_s": round(time.monotonic() - began, 1)}
    manifest.update(folder.manifest, "arms", arm.name, facts)
    return engine


def compress_arm(
    spec: StudySpec, arm: str, recipe: Recipe, model: LoadedModel, progress: Bars | Lines
) -> CompressionRecord:
    """Compress a loaded model in place."""
    from crushtest.calibration import Calibration
    from crushtest.compress import compress

    calibration = Calibration(**spec.calibration.model_dump(), seed=spec.seed)
    shown = 0
    with progress.step(f"{arm} · compressing", 100) as advance:

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            percent = 100 * done // total
            advance(max(0, percent - shown))
            shown = max(shown, percent)

        return compress(model, recipe, calibration, on_progress=show)


def ask(engine: Engine, planned: PlannedTask, items: Sequence[Item], log: AppendLog[Any]) -> Iterator[int]:
    """Have the engine answer what is open, each answer appended as it comes; yields how many were added."""
    answered = log.read()
    done = frozenset(index for index, item in enumerate(items) if item.id in answered)
    for index, answer in request(engine, planned, items, done):
        check_finite(items[index], answer)
        log.append(items[index].id, answer)
        yield 1
    log.finish([item.id for item in items])


def request(
    engine: Engine, planned: PlannedTask, items: Sequence[Item], done: frozenset[int]
) -> Iterator[tuple[int, Answer]]:
    """The engine's answers to a task's items, by index."""
    requests: Any = [item.request for item in items]
    match planned.task.kind:
        case "choices":
            return engine.choices(requests, done=done)
        case "passages":
            return engine.passages(requests, done=done)
        case "prompts":
            return engine.generate(requests, replace(planned.task.sampling), done=done)


def check_finite(item: Item, answer: Answer) -> None:
    """Raise EngineError for a log-likelihood that is not a number: it is no answer, and must not pass for one."""
    match answer:
        case ChoiceScores(logprobs=logprobs):
            values = logprobs
        case PassageScore(logprob=logprob):
            values = (logprob,)
        case Completion():
            return
    if not all(math.isfinite(value) for value in values):
        raise EngineError(
            f"item {item.id!r}: the model gave a log-likelihood of {values}; its weights or activations are broken "
            f"(NaN or overflow). Check the checkpoint, or use dtype float32"
        )


# ---- after the answers -----------------------------------------------------------------------------


def score(folder: StudyFolder, arm: str, planned: PlannedTask, items: Sequence[Item], progress: Bars | Lines) -> None:
    """Score the stored completions of one arm with every scorer of the task. Needs no model."""
    for scorer in planned.task.scorers:
        log = folder.scores(arm, scorer, planned.name)
        if log.complete:
            continue
        answers = folder.answers(arm, planned.name, planned.task.kind).read()
        scored = log.read()
        pending = [item for item in items if item.id not in scored]
        with progress.step(f"{arm} · {scorer} on {planned.name}", len(items), done=len(scored)) as advance:
            for start in range(0, len(pending), SCORING_BATCH):
                batch = pending[start : start + SCORING_BATCH]
                exchanges = [Exchange(item.request.text, answers[item.id].text) for item in batch]  # type: ignore[union-attr]
                for item, result in zip(batch, call_scorer(scorer, exchanges), strict=True):
                    log.append(item.id, result)
                advance(len(batch))
        log.finish([item.id for item in items])
        manifest.update(folder.manifest, "scorers", scorer, dict(SCORERS.get(scorer.partition(":")[0]).about))


def call_scorer(spec: str, exchanges: Sequence[Exchange]) -> list[Score]:
    """One Score an exchange, from the scorer that a spec (`name`, `name:option=value`) names."""
    name, _, rest = spec.partition(":")
    options = dict(piece.partition("=")[::2] for piece in rest.split(",") if piece)
    entry = SCORERS.get(name)
    return list(entry.function(exchanges, **entry.bind(options)))


def compare(folder: StudyFolder, plan: Plan, progress: Bars | Lines) -> None:
    """Estimates of every arm and contrasts against the dense one, from the files alone.

    Only what is answered and scored to the last item is compared; an unfinished arm is absent, not worse.
    """
    from crushtest import stats

    pairs = complete_pairs(folder, plan)
    estimates, contrasts = [], []
    with progress.step("comparing", len(pairs)) as advance:
        for planned in plan.tasks:
            arms = [arm for arm, task in pairs if task == planned.name]
            items = folder.read_items(planned.name)
            measured = {arm: read_measured(folder, arm, planned) for arm in arms}
            for arm in arms:
                inputs = (planned.name, planned.task.metrics, items, arm)
                estimates += stats.estimate(*inputs, *measured[arm], seed=plan.spec.seed)
                if arm != DENSE and DENSE in measured:
                    contrasts += stats.contrast(*inputs, *measured[DENSE], *measured[arm], seed=plan.spec.seed)
                advance(1)
    folder.write_results(estimates, contrasts)


def read_measured(
    folder: StudyFolder, arm: str, planned: PlannedTask
) -> tuple[dict[str, Any], dict[str, dict[str, Score]]]:
    """One arm's answers by item, and its scores by scorer and item."""
    answers = folder.answers(arm, planned.name, planned.task.kind).read()
    scores = {scorer: folder.scores(arm, scorer, planned.name).read() for scorer in planned.task.scorers}
    return answers, scores


def write_report(folder: StudyFolder, progress: Bars | Lines) -> None:
    """Make report.html from the files of the study."""
    from crushtest import report

    with progress.step("writing the report", 1) as advance:
        report.write_report(folder)
        advance(1)


def recompare(folder: StudyFolder) -> None:
    """Make estimates, contrasts and report anew from the stored answers. Needs neither models nor data."""
    plan = make_plan(read_spec(folder.specification))
    with folder.locked(), show_progress(0) as progress:
        compare(folder, plan, progress)
        write_report(folder, progress)
