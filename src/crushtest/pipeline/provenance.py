"""Record in the manifest what an arm ran with, and refuse to mix it with anything else later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crushtest.errors import StoreError
from crushtest.pipeline.ask import is_answered
from crushtest.pipeline.cost.records import Spent
from crushtest.progress import Progress
from crushtest.records import DENSE, Item
from crushtest.registry import ENGINES, TASKS
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.engines.base import Engine


def describe_task(folder: StudyFolder, planned: PlannedTask, items: Sequence[Item]) -> None:
    """Record a task in the manifest, and again if its options differ from the recorded ones."""
    options = json.loads(json.dumps(planned.settings))
    recorded = manifest.read(folder.manifest).get("tasks", {}).get(planned.name, {})
    if recorded.get("options") == options:
        return
    declared = {fact: value for fact, value in asdict(TASKS.get(planned.name).about).items() if fact != "predictions"}
    facts = {**declared, "options": options, "items": len(items), "sha256": manifest.items_digest(items)}
    manifest.update(folder.manifest, "tasks", planned.name, facts)


class Identified(Protocol):
    """A model that was loaded, here or elsewhere; `LoadedModel` says what these are."""

    @property
    def spec(self) -> str: ...
    @property
    def facts(self) -> dict[str, Any]: ...


def refuse_another_model(folder: StudyFolder, model: Identified, arm: Arm | None = None) -> None:
    """Raise StoreError if this model is not the one that the study has measured under its name.

    All arms of a model share its weights and chat template. An arm's own answers also come from one dtype, and
    together with those of its repeats from one kind of device, so that a difference cannot be due to the device.
    """
    for name, noted in manifest.read(folder.manifest).get("arms", {}).items():
        recorded = noted.get("model")
        if not recorded or noted["engine"].get("model") != model.spec:
            continue
        shared = ["revision", "sha256", "chat_template_sha256"]
        if arm is not None and arm.name == name:
            shared += ["device"] if arm.repeat else ["device", "dtype"]
        for fact in shared:
            before, now = recorded.get(fact), model.facts.get(fact)
            if fact == "device":
                before, now = (str(device).partition(":")[0] for device in (before, now))
            if before != now:
                raise StoreError(
                    f"{folder.root}: arm {name!r} was measured with another {model.spec!r} than there is now: "
                    f"{differing(fact, before, now)}; use another --out, or the model as it was, where it ran"
                )


RAN_ON = (
    "address",
    "server",
    "way",
    "model_sha256",
    "revision",
    "library_sha256",
    "program",
    "chat_template_sha256",
    "dtype",
    "device",
    "tensor_parallel",
    "environment",
    "context_tokens",
    "thinking",
)
"""What an engine that loads its own model must say again when an arm goes on, or is repeated."""


def refuse_another_server(folder: StudyFolder, arm: Arm, engine: dict[str, Any]) -> None:
    """Raise StoreError if an arm is invalid, or was measured on another file or server, or in another way, than now.

    A repeat may run on another engine on purpose; on the same engine it must have its arm's file and server.
    """
    if invalid := manifest.read(folder.manifest).get(manifest.INVALID, {}).get(arm.title):
        answered = folder.arm(arm.name, arm.repeat, arm.draw)
        if answered.exists() or arm.name == DENSE:  # scores and divergences of other arms may rest on dense's answers
            remedy = "" if arm.name == DENSE else f"delete {answered} to measure it anew, or "
            raise StoreError(
                f"{folder.root}: arm {arm.title!r} is invalid ({invalid['reason']}); {remedy}use another --out"
            )
        manifest.forget(folder.manifest, arm.title)
    noted = manifest.read(folder.manifest)
    recorded = noted.get("arms", {}).get(arm.name, {}).get("engine", {})
    if recorded.get("engine") != engine.get("engine"):
        return
    for fact in ("address", "server", "model_sha256", "revision") if arm.repeat else RAN_ON:
        before, now = recorded.get(fact), engine.get(fact)
        if fact in recorded and before != now:
            raise StoreError(
                f"{folder.root}: arm {arm.name!r} was measured on another model, program or server than there is now: "
                f"{differing(fact, before, now)}; use another --out, or what it ran on before"
            )


def differing(fact: str, before: Any, now: Any) -> str:
    """Say what a fact was and is. A fact about several files is named by the first file that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        file = next(file for file in {**before, **now} if before.get(file) != now.get(file))
        return differing(f"{fact} of {file}", before.get(file), now.get(file))
    return f"{fact} was {before}, is {now}"


def refuse_another_calibration(folder: StudyFolder, arm: Arm, tokens: CalibrationTokens) -> None:
    """Raise StoreError if an arm that the study has measured was calibrated on other tokens."""
    before = (folder.read_compression(arm.name, arm.draw) or {}).get("calibration", {}).get("tokens_sha256")
    now = tokens.facts["tokens_sha256"]
    if before not in (None, now):
        raise StoreError(
            f"{folder.root}: arm {arm.name!r} was calibrated on other tokens than {tokens.facts['source']!r} "
            f"gives now: {differing('tokens_sha256', before, now)}; use another --out, or the text as it was"
        )


def record_arm(folder: StudyFolder, arm: Arm, facts: dict[str, Any]) -> None:
    """Record what ran; for a repeat also the options and threads that made it another measurement."""
    if arm.draw:
        others = manifest.read(folder.manifest).get("draws", {}).get(arm.name, {})
        manifest.update(folder.manifest, "draws", arm.name, {**others, str(arm.draw): facts})
        return
    if not arm.repeat:
        manifest.update(folder.manifest, "arms", arm.name, facts)
        return
    varied = {"options": arm.engine_options, **({"threads": arm.threads} if arm.threads else {})}
    others = manifest.repeats_in(manifest.read(folder.manifest)).get(arm.name, {})
    manifest.update(folder.manifest, "repeats", arm.name, {**others, str(arm.repeat): {**facts, **varied}})


def engine_facts(engine: Engine) -> dict[str, Any]:
    """Return what runs, without the count of truncated requests: it has answered none yet."""
    return {key: value for key, value in engine.describe().items() if key != "truncated"}


def truncated_so_far(engine: Engine) -> int:
    """Return how many requests an engine has cut to fit its context; 0 if it does not count them."""
    return int(engine.describe().get("truncated", 0))


def record_truncation(folder: StudyFolder, arm: Arm, planned: PlannedTask, count: int, progress: Progress) -> None:
    """Record, and show, that requests of a task did not fit into the model's context."""
    if count and not arm.repeat and not arm.draw:
        others = manifest.read(folder.manifest).get("truncated", {}).get(arm.name, {})
        manifest.update(folder.manifest, "truncated", arm.name, {**others, planned.name: count})
        progress.say(f"{arm.name} · {planned.name}: {count} prompts or options lost their beginning to fit the context")


def record_cost(
    folder: StudyFolder,
    arm: Arm,
    planned: PlannedTask,
    items: int,
    spent: Spent,
    peak_bytes: dict[str, int],
    *,
    here: bool = True,
) -> None:
    """Record how long the items that this process asked took, and the most memory that their engine's process has held.

    On a machine that others use too, the processor time says more than the clock. It is unknown of a worker that is
    not `here`.

    A process that asked none, and only finishes what another asked, records nothing.
    """
    if items and not arm.repeat and not arm.draw:
        others = manifest.read(folder.manifest).get("timing", {}).get(arm.name, {})
        processor = {"processor_s": round(spent.processor_s, 1)} if here else {}
        cost = {"items": items, "seconds": round(spent.clock_s, 1), **processor, "peak_memory_bytes": peak_bytes}
        manifest.update(folder.manifest, "timing", arm.name, {**others, planned.name: cost})


def saved_sizes(arm: Arm) -> dict[str, Any]:
    """Return `method` and `totals` of an arm that is tested as found; nothing if its files are not here.

    They are those that `crushtest compress` left beside the weights, or else what the files' headers say.
    """
    if arm.name == DENSE or arm.recipe is not None:
        return {}
    from crushtest.compress.record import saved_recipe, saved_totals
    from crushtest.models.copies import is_stored
    from crushtest.models.demo import find_gguf
    from crushtest.models.find import in_cache
    from crushtest.models.stored_size import stored_facts

    trusted = arm.model_options.allow_pickle
    kept = in_cache(arm.model, allow_pickle=trusted, unread=True) if is_stored(arm.model) else None
    folder = kept.folder if kept else Path(arm.model).expanduser()
    totals = saved_totals(folder)
    if totals:
        return {"method": saved_recipe(folder), "totals": asdict(totals)}
    is_demo_file = arm.model == "demo" and ENGINES.get(arm.engine).about.runs_files
    return stored_facts(str(find_gguf()) if is_demo_file else arm.model)


def other_threads(folder: StudyFolder, plan: Plan) -> str:
    """Return a line about arms measured on another number of threads than this run's; the empty text if there are none.

    Repeats are left out: they may vary threads on purpose.
    """
    if not any(arm.in_process and not is_answered(folder, plan, arm) for arm in plan.measured):
        return ""
    import torch

    now = torch.get_num_threads()
    noted = manifest.read(folder.manifest).get("arms", {})
    before = {arm: facts.get("engine", {}).get("threads", now) for arm, facts in noted.items()}
    moved = [f"{arm} ran on {count}" for arm, count in before.items() if count != now]
    if not moved:
        return ""
    return (
        f"this study goes on with threads={now}, but {', '.join(moved)}: sums may round otherwise and numbers move "
        "with them (--threads sets the number)"
    )
