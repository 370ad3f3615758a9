"""How much an arm runs at once: fitted to memory once, recorded, kept when it goes on, halved where memory runs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crushtest.engines.base import Halving
from crushtest.errors import EngineError, first_error_line
from crushtest.files.append_log import AppendLog
from crushtest.models.memory import give_back_memory, is_out_of_memory
from crushtest.pipeline.ask import ask
from crushtest.pipeline.context import Run
from crushtest.pipeline.provenance import engine_facts, record_arm, truncated_so_far
from crushtest.records import DENSE, Item
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask
from crushtest.study.repeats import PACKING

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

SIZES, HALVED = "sizes", "halved"
"""What an engine says of how much it runs at once, and what became of that for want of memory."""
LOWER = (
    "what was answered is kept, and the same command goes on with half of that. Or free memory, or begin another --out "
    "with less: a smaller pack_tokens and batch_size (--engine hf:pack_tokens=512,batch_size=16), --dtype bfloat16, "
    "or more devices (--device cuda:0,cuda:1)"
)


def sized_options(folder: StudyFolder, arm: Arm) -> dict[str, Any]:
    """Return an arm's engine options, with sizes that memory decides as they were recorded.

    They are those of the arm itself when it goes on, otherwise those of dense in the same engine, so that a study's
    arms run alike. Arms measured before sizes were recorded ran the usual.
    """
    noted = manifest.read(folder.manifest)
    for facts in (arm_facts(noted, arm), noted.get("arms", {}).get(DENSE, {})):
        engine = facts.get("engine", {})
        if engine.get("engine") == arm.engine:
            sizes = engine.get(SIZES, PACKING)
            return {key: sizes.get(key) if value is None else value for key, value in arm.engine_options.items()}
    return arm.engine_options


def arm_facts(noted: dict[str, Any], arm: Arm) -> dict[str, Any]:
    """Return what a manifest holds of an arm, a repeat or a draw; nothing if it has not begun."""
    facts: dict[str, Any]
    if arm.draw:
        facts = noted.get("draws", {}).get(arm.name, {}).get(str(arm.draw), {})
    elif arm.repeat:
        facts = manifest.repeats_in(noted).get(arm.name, {}).get(str(arm.repeat), {})
    else:
        facts = noted.get("arms", {}).get(arm.name, {})
    return facts


def ask_within_memory(
    run: Run, arm: Arm, engine: Engine, planned: PlannedTask, items: Sequence[Item], log: AppendLog[Any]
) -> Iterator[int]:
    """Ask as `ask` does. Where memory runs out, run half as much at once, once, and say so.

    An answer is whole or not there: what was not appended is asked again. Raises EngineError, which says what to lower,
    if memory runs out again.
    """
    counted = truncated_so_far(engine)
    try:
        yield from ask(engine, planned, items, log)
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        why = first_error_line(error)
    # Not in the clause above: the error holds on to what was being computed.
    before = engine_facts(engine).get(SIZES)
    if before is None or not isinstance(engine, Halving):
        raise EngineError(f"{planned.name}: out of memory ({why}); free memory, or give the engine less to run at once")
    if not engine.halve(planned.task.kind):
        raise EngineError(f"{planned.name}: out of memory ({why}) with {in_words(before)}; {LOWER}")
    engine.truncated = counted  # what is asked again is counted again
    give_back_memory()
    after = engine_facts(engine)[SIZES]
    record_halved(run.folder, arm, engine, {"task": planned.name, "from": before, "answered": len(log.read())})
    run.progress.say(
        f"{arm.title} · {planned.name}: out of memory with {in_words(before)}; goes on with {in_words(after)}"
    )
    try:
        yield from ask(engine, planned, items, log)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        why = first_error_line(error)
        raise EngineError(f"{planned.name}: out of memory again ({why}) with {in_words(after)}; {LOWER}") from error


def record_halved(folder: StudyFolder, arm: Arm, engine: Engine, facts: dict[str, Any]) -> None:
    """Record the sizes that an arm goes on with, and from which task and how many of its answers on."""
    noted = arm_facts(manifest.read(folder.manifest), arm)
    halvings = [*noted.get(HALVED, []), facts]
    record_arm(folder, arm, {**noted, "engine": engine_facts(engine), HALVED: halvings})


def halvings(folder: StudyFolder, arm: Arm) -> dict[str, Any]:
    """Return what was recorded of an arm's halvings, for the facts that are recorded when it goes on."""
    noted = arm_facts(manifest.read(folder.manifest), arm)
    return {HALVED: noted[HALVED]} if HALVED in noted else {}


def in_words(sizes: dict[str, int] | None) -> str:
    """Return sizes as a reader may lower them: `pack_tokens=2048, batch_size=64`."""
    return ", ".join(f"{name}={size}" for name, size in (sizes or {}).items()) or "what runs at once"
