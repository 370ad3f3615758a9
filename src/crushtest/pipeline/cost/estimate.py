"""What a study will cost: every model is loaded once and measured for a few seconds, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crushtest.engines.base import close
from crushtest.models.stored_size import stored_facts
from crushtest.pipeline.across import refused_pairs
from crushtest.pipeline.arm import prefix_errors
from crushtest.pipeline.ask import is_answered
from crushtest.pipeline.cost.calls import calls_of, judged, runs_served
from crushtest.pipeline.cost.devices import room_on
from crushtest.pipeline.cost.measured_model import MeasuredModel, answered
from crushtest.pipeline.cost.records import ArmCost, Calls, Spent, StudyCost, TaskCost, added
from crushtest.pipeline.fixed_text import SECTION
from crushtest.progress import Progress
from crushtest.records import Item, Prompt
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens

PER_PAIR_S, PER_ANSWER_S, REPORT_S = 0.25, 4e-4, 3.0
"""Processor time of a comparison of two arms in one task, of an answer in it, and of the report, on two cores in 2026:
18 pairs of 60 items and the page took 8 s, UnQover's 40,000 answers 15 s (benchmarks/README.md)."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
LARGER = 1.1
"""How much of the weights' own size a model takes at least while it runs."""


def estimate(
    folder: StudyFolder,
    plan: Plan,
    items: Mapping[str, Sequence[Item]],
    calibration: Mapping[tuple[str, Calibration], CalibrationTokens],
    progress: Progress,
) -> StudyCost:
    """Return what the open part of a study costs. Loads every model once, measures it, and writes nothing.

    Raises what loading a model raises, and StoreError for one that is not what the folder's study was measured on.
    """
    used_s = time.process_time()
    open_arms = [arm for arm in plan.measured if not is_answered(folder, plan, arm)]
    arms: list[ArmCost] = []
    noted: dict[str, Any] = manifest.read(folder.manifest)
    for group in _alike(open_arms):
        if not group[0].has_model:
            arms += [_unmeasured(folder, plan, items, arm, Spent()) for arm in group]
        elif runs_served(group[0].model, group[0].engine):
            for arm in group:
                with prefix_errors(arm):
                    arms.append(_served(folder, plan, items, arm))
        elif why := _too_large(group[0]):
            arms += [replace(_unmeasured(folder, plan, items, arm, None), notes=(why,)) for arm in group]
        else:
            measured = MeasuredModel(folder, plan, items, calibration, progress, group)
            with prefix_errors(group[0]):
                arms += measured.costs()
            _note(noted, measured)
    place = {arm.title: number for number, arm in enumerate(plan.measured)}
    asked = list(judged(plan, items)) if open_arms else []
    busy = _busy(arms)
    return StudyCost(
        arms=tuple(sorted(arms, key=lambda arm: place[arm.arm])),
        before=Spent(used_s * busy, used_s),
        after=_after(plan, items, busy) if open_arms else Spent(),
        scorers=tuple(one for one in asked if isinstance(one, Calls)),
        refused=tuple(f"{arm} against {other}: {why}" for (arm, other), why in refused_pairs(noted, plan).items()),
        notes=tuple(dict.fromkeys((*(one for one in asked if isinstance(one, str)), *_not_counted(plan, items)))),
    )


def _alike(arms: Sequence[Arm]) -> Iterator[list[Arm]]:
    """Yield the arms of each model that is loaded in one way, in one engine."""
    groups: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms:
        groups.setdefault((arm.model, arm.engine, arm.model_options, arm.threads), []).append(arm)
    yield from groups.values()


def _note(noted: dict[str, Any], measured: MeasuredModel) -> None:
    """Add to a manifest's content what arms would note that run the model as it is."""
    for arm in measured.arms:
        if arm.recipe is None and not arm.repeat and not arm.draw and arm.name not in noted.get("arms", {}):
            noted.setdefault("arms", {})[arm.name] = {"engine": measured.facts}
            if measured.fixed:
                noted.setdefault(SECTION, {})[arm.name] = measured.fixed


def _unmeasured(
    folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]], arm: Arm, spent: Spent | None
) -> ArmCost:
    """Return the items of an arm that is not run here, or cannot be."""
    tasks = tuple(
        TaskCost(planned.name, len(items[planned.name]) - len(done), spent=spent)
        for planned in plan.asked_of(arm)
        for done in [answered(folder, plan, arm, planned, items[planned.name])]
    )
    return ArmCost(arm.title, arm.engine, tasks, preparing=spent)


def _served(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]], arm: Arm) -> ArmCost:
    """Return what a served model is asked. Nothing but the probes that every run begins with is asked of it now."""
    from crushtest.engines import load_engine
    from crushtest.engines.openai.served import ServedEngine

    cost = _unmeasured(folder, plan, items, arm, None)
    engine = load_engine(arm.model, engine=arm.engine, **arm.engine_options)
    try:
        if not isinstance(engine, ServedEngine):
            return cost
        calls = Calls(engine.setting.base, 0, 0, 0)
        for planned in plan.asked_of(arm):
            done = answered(folder, plan, arm, planned, items[planned.name])
            left = [item for index, item in enumerate(items[planned.name]) if index not in done]
            calls = calls.and_also(calls_of(engine, planned, left)) if left else calls
        return replace(cost, calls=calls, notes=("the server decides how long it takes",))
    finally:
        close(engine)


def _too_large(arm: Arm) -> str | None:
    """Return why a model's weights cannot be held here, from its files' headers; None if they can or are not known."""
    if not arm.in_process:
        return None
    size = stored_facts(arm.model).get("totals", {}).get("dense_model_size_bytes")  # at 16 bits
    width = BYTES.get(arm.model_options.dtype)
    room = room_on(arm.model_options.device)
    if size is None or width is None or room is None or size // 2 * width * LARGER <= room.bytes:
        return None
    need, have = size // 2 * width / 2**30, room.bytes / 2**30
    return f"its weights take {need:.1f} GB in {arm.model_options.dtype}, {room.device} has {have:.1f} GB"


def _not_counted(plan: Plan, items: Mapping[str, Sequence[Item]]) -> Iterator[str]:
    """Yield, in words, what makes a run cheaper or dearer than what is counted."""
    if plan.stop_early is not None:
        yield "arms that stop early cost less"
    for name, asked in items.items():
        if any(isinstance(item.request, Prompt) and item.request.follows for item in asked):
            yield f"{name}: later turns are counted without the answers before them"


def _busy(arms: Sequence[ArmCost]) -> float:
    """Return how much longer than its processor time something takes here now, as preparing arms does; at least 1."""
    loading = added(arm.preparing for arm in arms if arm.preparing is not None)
    return max(1.0, loading.clock_s / loading.processor_s) if loading.processor_s else 1.0


def _after(plan: Plan, items: Mapping[str, Sequence[Item]], busy: float) -> Spent:
    """Return what scoring, comparing and reporting take, by the rates above."""
    pairs, answers = len(plan.pairs) * len(plan.tasks), len(plan.measured) * sum(map(len, items.values()))
    seconds = REPORT_S + PER_PAIR_S * pairs + PER_ANSWER_S * answers
    return Spent(seconds * busy, seconds)
