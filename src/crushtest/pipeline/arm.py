"""One arm of a study: load its model, compress it, ask it what it has not answered."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.compress.calibration import Calibration, token_batches
from crushtest.compress.recipes import Recipe
from crushtest.conversations import waves, with_history
from crushtest.errors import CompressionError, EngineError, ModelError, StoreError
from crushtest.files.append_log import AppendLog
from crushtest.files.atomic import write_json
from crushtest.models.memory import peak_memory_bytes
from crushtest.models.threads import on_threads
from crushtest.pipeline.noise_floor import reordered
from crushtest.progress import Bars, Lines
from crushtest.records import DENSE, Answer, ChoiceScores, Completion, Item, Passage, PassageScore
from crushtest.registry import ENGINES
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.loading import config_for, load_for, tokenizer_for
from crushtest.study.plan import Arm, Plan, PlannedTask, StudySpec

if TYPE_CHECKING:
    from crushtest.compress import CompressionRecord
    from crushtest.compress.layers.offload import Residence
    from crushtest.engines.base import Engine
    from crushtest.models.load import LoadedModel


def check_arms(folder: StudyFolder, plan: Plan, arms: Sequence[Arm]) -> None:
    """Raise ModelError for a model that cannot be had and UsageError for a recipe that does not fit its layers.

    UsageError, too, for a device that is not here, and DataError for calibration text that is too short or cannot be
    read. Arms that are answered already need none of it.
    """
    from crushtest.models.load import check_model, resolve_device

    real = [arm for arm in arms if arm.in_process and not is_answered(folder, plan, arm)]
    if real:
        resolve_device(plan.spec.device)
    for model in {arm.model: None for arm in real}:
        check_model(model, allow_pickle=plan.spec.allow_pickle)
    for arm in real:
        if arm.recipe is not None:
            check_recipe(plan.spec, arm.model, arm.recipe)
    for model in {arm.model: None for arm in real if arm.recipe is not None}:
        check_calibration(plan.spec, model)


def is_answered(folder: StudyFolder, plan: Plan, arm: Arm) -> bool:
    """Whether an arm has answered every task to the last item."""
    return all(answers_of(folder, arm, task).complete for task in plan.tasks)


def other_threads(folder: StudyFolder, plan: Plan, arms: Sequence[Arm]) -> str:
    """Return a line about arms measured on another number of threads than this run's; the empty text if there are none.

    Repeats are left out: they may vary threads on purpose.
    """
    if not any(arm.in_process and not is_answered(folder, plan, arm) for arm in arms):
        return ""
    import torch

    now = torch.get_num_threads()
    noted = manifest.read(folder.manifest).get("arms", {})
    before = {arm: facts.get("engine", {}).get("threads", now) for arm, facts in noted.items()}
    moved = [f"{arm} ran on {count}" for arm, count in before.items() if count != now]
    if not moved:
        return ""
    return (
        f"this study goes on with threads={now}, but {', '.join(moved)}: sums round otherwise, and a method such as "
        "gptq makes other weights of that (OMP_NUM_THREADS sets the number)"
    )


def answers_of(folder: StudyFolder, arm: Arm, planned: PlannedTask) -> AppendLog[Any]:
    """The log of an arm's, or a repeat's, answers to a task."""
    return folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat)


def check_recipe(spec: StudySpec, model: str, recipe: Recipe, *, to_save: bool = False) -> None:
    """Raise what `compress.check` raises for a recipe and the shapes of a model. No weight is read."""
    from crushtest import compress

    config = config_for(spec, model)
    compress.check(recipe, config, to_save=to_save, trust_remote_code=spec.trust_remote_code)


def check_calibration(spec: StudySpec, model: str) -> None:
    """Raise DataError where the calibration text cannot be had or read, or gives a model's tokenizer too few tokens.

    UsageError for a text that is not there. No weight is read.
    """
    token_batches(calibration_of(spec), tokenizer_for(spec, model))


def calibration_of(spec: StudySpec) -> Calibration:
    """The calibration of a study's recipes. Raises UsageError for a text that does not exist."""
    return Calibration(**spec.calibration.model_dump(), seed=spec.seed)


def run_arm(
    folder: StudyFolder, plan: Plan, arm: Arm, items: Mapping[str, Sequence[Item]], progress: Bars | Lines
) -> None:
    """Load the arm's model, compress it, and ask it what it has not answered. Nothing is loaded if nothing is open."""
    engine = None
    for planned in plan.tasks:
        log, asked = answers_of(folder, arm, planned), items[planned.name]
        done = len(log.read())
        title = f"{arm.title} · {planned.name}"
        with (
            naming(arm),
            on_threads(arm.threads),
            progress.step(title, len(asked), done=done, weight=1) as advance,
        ):
            if log.complete:
                continue
            engine = engine or prepare(folder, plan.spec, arm, progress)
            if any(isinstance(item.request, Passage) and item.request.against_dense for item in asked):
                bring_dense(folder, engine, plan, arm, planned, progress)
            before, began = cut_so_far(engine), time.monotonic()
            for count in ask(engine, planned, reordered(asked, arm.repeat), log):
                advance(count)
            # Noted first: what is finished is not looked at again.
            note_cut(folder, arm, planned, cut_so_far(engine) - before, progress)
            note_cost(folder, arm, planned, len(asked) - done, time.monotonic() - began)
            log.finish([item.id for item in asked])
    del engine
    gc.collect()


@contextmanager
def naming(arm: Arm) -> Iterator[None]:
    """Put the arm's name before what is said of a failure in it."""
    try:
        yield
    except (EngineError, CompressionError, ModelError) as error:
        raise type(error)(f"arm {arm.title!r}: {error}") from error


def prepare(folder: StudyFolder, spec: StudySpec, arm: Arm, progress: Bars | Lines) -> Engine:
    """The engine of an arm, its model loaded and compressed, and both written down."""
    from crushtest.engines import load_engine

    began = time.monotonic()
    if not arm.in_process:
        engine = load_engine(arm.model, engine=arm.engine, **arm.engine_options)
        note_arm(folder, arm, {"engine": described(engine), **sizes_found(arm)})
        return engine
    spec = spec if arm.dtype is None else spec.model_copy(update={"dtype": arm.dtype})
    model = load_base(spec, arm.model, arm.title, progress)
    refuse_another_model(folder, model, arm)
    if arm.recipe is not None:
        record = compress_arm(spec, arm.name, arm.recipe, model, progress)
        refuse_another_calibration(folder, arm, record)
        write_json(folder.compression(arm.name), record.to_json())
    engine = load_engine(model, engine=arm.engine, **arm.engine_options)
    facts = {"model": model.facts, "engine": described(engine), "prepared_in_s": round(time.monotonic() - began, 1)}
    note_arm(folder, arm, {**facts, **sizes_found(arm)})
    return engine


def sizes_found(arm: Arm) -> dict[str, Any]:
    """The totals that `crushtest compress` left beside the weights of an arm that is tested as found."""
    if arm.name == DENSE or arm.recipe is not None:
        return {}
    from crushtest.compress.record import saved_totals

    totals = saved_totals(Path(arm.model).expanduser())
    return {"totals": asdict(totals)} if totals else {}


def refuse_another_model(folder: StudyFolder, model: LoadedModel, arm: Arm | None = None) -> None:
    """Raise StoreError where this model is not the one that the study has measured under its name.

    All arms of a model share its weights and chat template. An arm's own answers also come from one dtype, and with
    those of its repeats from one kind of device: a number that moved must not have moved by where it was measured.
    """
    for name, noted in manifest.read(folder.manifest).get("arms", {}).items():
        kept = noted.get("model")
        if not kept or noted["engine"].get("model") != model.spec:
            continue
        shared = ["revision", "sha256", "chat_template_sha256"]
        if arm is not None and arm.name == name:
            shared += ["device"] if arm.repeat else ["device", "dtype"]
        for fact in shared:
            before, now = kept.get(fact), model.facts.get(fact)
            if fact == "device":
                before, now = (str(device).partition(":")[0] for device in (before, now))
            if before != now:
                raise StoreError(
                    f"{folder.root}: arm {name!r} was measured with another {model.spec!r} than there is now: "
                    f"{differing(fact, before, now)}; use another --out, or the model as it was, where it ran"
                )


def differing(fact: str, before: Any, now: Any) -> str:
    """What a fact was and is; of a fact of several files that of the first that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        file = next(file for file in {**before, **now} if before.get(file) != now.get(file))
        return differing(f"{fact} of {file}", before.get(file), now.get(file))
    return f"{fact} was {before}, is {now}"


def refuse_another_calibration(folder: StudyFolder, arm: Arm, record: CompressionRecord) -> None:
    """Raise StoreError where an arm that the study has measured was calibrated on other tokens."""
    kept = manifest.read(folder.compression(arm.name)).get("calibration", {}).get("tokens_sha256")
    found = record.calibration["tokens_sha256"]
    if kept not in (None, found):
        raise StoreError(
            f"{folder.root}: arm {arm.name!r} was calibrated on other tokens than {record.calibration['source']!r} "
            f"gives now: {differing('tokens_sha256', kept, found)}; use another --out, or the text as it was"
        )


def note_arm(folder: StudyFolder, arm: Arm, facts: dict[str, Any]) -> None:
    """Write down what ran; of a repeat also the options and threads that made it another measurement."""
    if not arm.repeat:
        manifest.update(folder.manifest, "arms", arm.name, facts)
        return
    varied = {"options": arm.engine_options, **({"threads": arm.threads} if arm.threads else {})}
    manifest.update(folder.manifest, "repeats", str(arm.repeat), {**facts, **varied})


def described(engine: Engine) -> dict[str, Any]:
    """What ran, without what it has counted so far: nothing yet."""
    return {key: value for key, value in engine.describe().items() if key != "truncated"}


def cut_so_far(engine: Engine) -> int:
    """How many requests an engine has cut to fit its context, where it counts them."""
    return int(engine.describe().get("truncated", 0))


def note_cut(folder: StudyFolder, arm: Arm, planned: PlannedTask, count: int, progress: Bars | Lines) -> None:
    """Say in the manifest, and to whoever watches, that a task did not fit into the model's context."""
    if count and not arm.repeat:
        others = manifest.read(folder.manifest).get("truncated", {}).get(arm.name, {})
        manifest.update(folder.manifest, "truncated", arm.name, {**others, planned.name: count})
        progress.say(f"{arm.name} · {planned.name}: {count} prompts or options lost their beginning to fit the context")


def note_cost(folder: StudyFolder, arm: Arm, planned: PlannedTask, items: int, seconds: float) -> None:
    """Say in the manifest how long the items took that this process asked, and the most memory it has held so far.

    A process that had only to finish what another asked has nothing to say.
    """
    if items and not arm.repeat:
        others = manifest.read(folder.manifest).get("asked", {}).get(arm.name, {})
        cost = {"items": items, "seconds": round(seconds, 1), "peak_memory_bytes": peak_memory_bytes()}
        manifest.update(folder.manifest, "asked", arm.name, {**others, planned.name: cost})


def bring_dense(
    folder: StudyFolder, engine: Engine, plan: Plan, arm: Arm, planned: PlannedTask, progress: Bars | Lines
) -> None:
    """Give an engine what a task compares its distributions with: the dense model, or what the dense arm kept of it.

    The dense arm itself gets its own model, and where to keep what others need. Only `hf` compares distributions. Other
    engines' answers then have none, and the metrics say why they are undefined.
    """
    from crushtest.engines.hf.engine import HfEngine
    from crushtest.engines.hf.kept_top_k import KeptTokens
    from crushtest.models.load import LoadedModel

    if not isinstance(engine, HfEngine):
        return
    own, k = arm.name == DENSE and arm.dtype is None, planned.task.likeliest
    kept = None if k is None else KeptTokens(folder.likeliest(planned.name), k)
    engine.keep = kept if own and not arm.repeat else None
    if own:
        engine.dense = engine.model
    elif kept:
        engine.dense = kept if "distributions" in ENGINES.get(plan.arms[0].engine).about.answers else None
    elif not isinstance(engine.dense, LoadedModel):
        engine.dense = load_base(plan.spec, plan.spec.model, f"{arm.title} · dense", progress)
        refuse_another_model(folder, engine.dense)


def load_base(spec: StudySpec, model: str, arm: str, progress: Bars | Lines) -> LoadedModel:
    """A model in memory, as the study's settings say."""
    with progress.step(f"{arm} · loading {model}", 1) as advance:
        loaded = load_for(spec, model)
        advance(1)
    return loaded


def compress_arm(
    spec: StudySpec,
    arm: str,
    recipe: Recipe,
    model: LoadedModel,
    progress: Bars | Lines,
    residence: Residence | None = None,
) -> CompressionRecord:
    """Compress a loaded model in place, wherever its weights are."""
    from crushtest.compress import compress

    shown = 0
    with progress.step(f"{arm} · compressing, in percent", 100) as advance:

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            percent = 100 * done // total
            advance(max(0, percent - shown))
            shown = max(shown, percent)

        return compress(model, recipe, calibration_of(spec), residence=residence, on_progress=show)


def ask(engine: Engine, planned: PlannedTask, items: Sequence[Item], log: AppendLog[Any]) -> Iterator[int]:
    """Have the engine answer what is open, each answer appended as it comes; yields how many were added."""
    answered = log.read()
    by_id = {item.id: item for item in items}
    for wave in waves(items):
        asked = [with_history(items[place], by_id, answered) for place in wave]
        done = frozenset(index for index, item in enumerate(asked) if item.id in answered)
        for index, answer in request(engine, planned, asked, done):
            check_finite(asked[index], answer)
            log.append(asked[index].id, answer)
            answered[asked[index].id] = answer
            yield 1


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
            return engine.generate(requests, planned.task.sampling, done=done)


def check_finite(item: Item, answer: Answer) -> None:
    """Raise EngineError for a log-likelihood that is not a number: it is no answer, and must not pass for one."""
    match answer:
        case ChoiceScores(logprobs=logprobs):
            values = logprobs
        case PassageScore(logprob=logprob, kl=kl, kl_at_most=kl_at_most):
            values = (logprob, *(kl or ()), kl_at_most or 0.0)
        case Completion():
            return
    broken = next((value for value in values if not math.isfinite(value)), None)
    if broken is not None:
        raise EngineError(
            f"item {item.id!r}: the model gave a log-likelihood of {broken}; its weights or activations are "
            f"broken (NaN or overflow). Check the checkpoint, or use dtype float32"
        )
