"""From an arm to an engine that can answer: check, load, compress, and attach the dense model to compare with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crushtest.compress.prepare import check_recipe, compress_base, load_base, read_calibration
from crushtest.engines.base import Reference
from crushtest.errors import EngineError, UsageError
from crushtest.pipeline.ask import is_answered
from crushtest.pipeline.context import Run
from crushtest.pipeline.memory import halvings, sized_options
from crushtest.pipeline.provenance import (
    engine_facts,
    record_arm,
    refuse_another_calibration,
    refuse_another_model,
    refuse_another_server,
    saved_sizes,
)
from crushtest.records import DENSE, Item, Passage
from crushtest.registry import ENGINES
from crushtest.study.arms import Arm
from crushtest.study.compression_file import write_compression
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask, refuse_unanswered

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens
    from crushtest.engines.base import Engine
    from crushtest.models.load import LoadedModel


TEMPLATE = "chat_template_sha256"
"""The entry of what a model or an engine says of itself that is None without a chat template."""


def check_arms(
    folder: StudyFolder, plan: Plan, *, devices: bool = True
) -> dict[tuple[str, Calibration], CalibrationTokens]:
    """Return the calibration tokens of every model and draw that is still to be compressed. No weight is read.

    Raises ModelError for a model that cannot be loaded, UsageError for a recipe that does not fit its layers or a
    device that is not here, DataError for calibration text that is too short or cannot be read. Arms that are answered
    already need none of it. Without `devices`, models run elsewhere, and this machine's devices say nothing.
    """
    from crushtest.models.find import check_model
    from crushtest.models.places import first_device, needs_disk
    from crushtest.models.trial import check_places, try_out

    unanswered = [arm for arm in plan.measured if not is_answered(folder, plan, arm)]
    for arm in unanswered:
        check_engine(arm, plan.tasks)
    pending = [arm for arm in unanswered if arm.in_process]
    for arm in pending:
        if devices:
            first_device(arm.model_options.device)
        if arm.recipe is not None and needs_disk(arm.model_options.device):
            raise UsageError(
                f"arm {arm.title!r}: weights on the disk cannot be compressed; `crushtest compress --offload disk` "
                f"writes a folder, which `--arm` tests (got device {arm.model_options.device!r})"
            )
    for model, options in {arm.model: arm.model_options for arm in pending}.items():
        check_model(model, allow_pickle=options.allow_pickle, here=devices)
    found = {arm.model: arm.model_options for arm in pending if arm.recipe is None and arm.model != plan.dense.model}
    for model, options in found.items():
        try_out(model, options)
    for arm in pending:
        if arm.recipe is not None:
            check_recipe(arm.model_options, arm.model, arm.recipe)
    if devices:
        for model, options in dict.fromkeys((arm.model, arm.model_options) for arm in pending):  # dtypes may differ
            check_places(model, options)
    calibrated = {(arm.model, plan.calibration_of(arm)): arm.model_options for arm in pending if arm.recipe is not None}
    tokens = {
        (model, calibration): read_calibration(options, model, calibration)
        for (model, calibration), options in calibrated.items()
    }
    refuse_equal_draws(tokens, plan.seed)
    return tokens


def refuse_equal_draws(tokens: Mapping[tuple[str, Calibration], CalibrationTokens], seed: int) -> None:
    """Raise UsageError if two draws calibrate on the same windows of text, in whatever order.

    tokens   by model and calibration text, whose seed is the study's and the draw's number
    seed     the study's
    """
    seen: dict[tuple[str, frozenset[tuple[int, ...]]], int] = {}
    for (model, calibration), drawn in sorted(tokens.items(), key=lambda entry: entry[0][1].seed):
        windows = frozenset(map(tuple, drawn.ids.tolist()))
        other = seen.setdefault((model, windows), calibration.seed)
        if other != calibration.seed:
            raise UsageError(
                f"replicates: the calibration text {calibration.source!r} is read as a whole, so draws {other - seed} "
                f"and {calibration.seed - seed} would be the same; ask for fewer sequences of it, or leave "
                "`replicates` out"
            )


def check_tokenizers(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]]) -> None:
    """Raise ModelError for a tokenizer that cannot be read, EngineError for a chat template that is missing or fails.

    Asked of models that are here. The dense model of the hub may not be: its files come with its weights.
    """
    from crushtest.engines.hf.tokenizer import HfTokenizer
    from crushtest.engines.template_check import check_template
    from crushtest.models.find import model_kind
    from crushtest.models.hub import cached

    asked = [item.request for drawn in items.values() for item in drawn]
    in_chat = [request for request in asked if not isinstance(request, Passage) and request.chat]
    pending = [arm for arm in plan.measured if arm.in_process and not is_answered(folder, plan, arm)]
    for model, options in {arm.model: arm.model_options for arm in pending}.items():
        if model_kind(model) != "hub" or cached(model, allow_pickle=options.allow_pickle) is not None:
            tokenizer = HfTokenizer(options.load_tokenizer(model))
            if not tokenizer.has_template:
                refuse_without_template(plan, items, f"model {model!r}")
            if in_chat:
                check_template(tokenizer, f"model {model!r}", system=in_chat[0].system)


def refuse_without_template(plan: Plan, items: Mapping[str, Sequence[Item]], where: str) -> None:
    """Raise EngineError if a task, or a system message, needs a chat template, given a model that has none."""
    for planned in plan.tasks:
        if planned.task.needs_chat is not None:
            raise EngineError(
                f"{where} has no chat template, which task {planned.name!r} needs; {planned.task.needs_chat}"
            )
    requests = (item.request for drawn in items.values() for item in drawn)
    if any(not isinstance(request, Passage) and request.system is not None for request in requests):
        raise EngineError(
            f"{where} has no chat template, which a system message needs; leave `system` out, or name a model with one"
        )


def check_engine(arm: Arm, tasks: Sequence[PlannedTask]) -> None:
    """Raise what would keep an engine from running an arm's model, and UsageError if it leaves a task unanswered."""
    facts = ENGINES.get(arm.engine).facts
    if facts is not None:
        given = facts(arm.model, **arm.engine_options)
        refuse_unanswered(arm, given["answers"], tasks, given.get("hints"))


def prepare(run: Run, arm: Arm) -> Engine:
    """Return the engine of an arm, its model loaded and compressed, and write both down."""
    from crushtest.engines import load_engine
    from crushtest.engines.base import close

    began = time.monotonic()
    if not arm.in_process:
        engine = load_engine(arm.model, engine=arm.engine, **arm.engine_options)
        try:
            refuse_another_server(run.folder, arm, engine_facts(engine))
            if engine_facts(engine).get(TEMPLATE, "unstated") is None:
                refuse_without_template(run.plan, run.items, f"model {arm.model!r}")
            record_arm(run.folder, arm, {"engine": engine_facts(engine), **saved_sizes(arm)})
        except Exception:
            close(engine)
            raise
        return engine
    model = load_arm(run, arm)
    if model.facts.get(TEMPLATE, "unstated") is None:  # of a model of the hub that was not here before
        refuse_without_template(run.plan, run.items, f"model {arm.model!r}")
    engine = load_engine(model, engine=arm.engine, **sized_options(run.folder, arm))
    facts = {"model": model.facts, "engine": engine_facts(engine), "prepared_in_s": round(time.monotonic() - began, 1)}
    record_arm(run.folder, arm, {**facts, **saved_sizes(arm), **halvings(run.folder, arm)})
    return engine


def load_arm(run: Run, arm: Arm) -> LoadedModel:
    """Return an arm's model in memory, compressed by its recipe; compression.json says how."""
    if arm.recipe is not None:
        refuse_another_calibration(run.folder, arm, run.calibration[arm.model, run.plan.calibration_of(arm)])
    model = load_base(arm.model_options, arm.model, arm.title, run.progress)
    refuse_another_model(run.folder, model, arm)
    if arm.recipe is not None:
        calibration = run.calibration[arm.model, run.plan.calibration_of(arm)]
        record = compress_base(model, arm.recipe, calibration, arm.title, run.progress)
        if not arm.repeat:
            write_compression(run.folder.compression(arm.name, arm.draw), arm.name, record.to_json())
    return model


def attach_reference(run: Run, engine: Engine, arm: Arm, planned: PlannedTask) -> None:
    """Give an engine what a task compares its distributions with: the dense model, or what the dense arm kept of it.

    The dense arm gets its own model, and keeps what the others need. What one engine keeps, no other reads: an arm in
    another engine has no divergence then, and the metrics say why they are undefined.
    """
    dense, top_k = run.plan.dense, planned.task.likeliest
    is_dense = arm.name == DENSE and arm.model_options == dense.model_options
    if top_k is not None and not is_dense and arm.engine != dense.engine:
        engine.attach_reference(None)
        return
    engine.attach_reference(
        Reference(
            load=None if is_dense else lambda: load_dense(run, arm),
            top_k=top_k,
            folder=run.folder.likeliest(planned.name),
            keep=is_dense and not arm.repeat and not arm.draw,
            options=dense.engine_options if arm.engine == dense.engine else {},
        )
    )


def load_dense(run: Run, arm: Arm) -> LoadedModel:
    """Return the study's dense model in memory, to compare an arm with."""
    dense = run.plan.dense
    model = load_base(dense.model_options, dense.model, f"{arm.title} · dense", run.progress)
    refuse_another_model(run.folder, model)
    return model
