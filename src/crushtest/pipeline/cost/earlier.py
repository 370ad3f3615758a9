"""What an earlier run of a study has spent, according to the manifest of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crushtest.pipeline.cost.records import Spent
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan


def runs_alike(arm: Arm, other: Arm) -> bool:
    """Return True if two arms are as fast: one model, or one that dense's shapes stand for, run in the same way."""
    how = ("model", "engine", "engine_options", "model_options", "threads")
    return all(getattr(arm, fact) == getattr(other, fact) for fact in how)


def spent_per_item(folder: StudyFolder, plan: Plan, arm: Arm, task: str) -> Spent | None:
    """Return what an item of a task has cost this arm, or else one that runs alike; None if no run has noted it."""
    noted = manifest.read(folder.manifest).get("timing", {})
    for other in _alike(plan, arm):
        cost: dict[str, Any] = noted.get(other.name, {}).get(task, {})
        if cost.get("items"):
            clock = cost["seconds"] / cost["items"]
            return Spent(clock, cost.get("processor_s", cost["seconds"]) / cost["items"])
    return None


def _alike(plan: Plan, arm: Arm) -> Iterator[Arm]:
    """Yield the arm itself, then those that run alike. Repeats are slower, and none of them is noted."""
    if not arm.repeat:
        yield from (other for other in plan.arms if other.name == arm.name)
        yield from (other for other in plan.arms if other.name != arm.name and runs_alike(arm, other))


def prepared_in_s(folder: StudyFolder, arm: Arm) -> float | None:
    """Return how long loading and compressing an arm took; None if no run has noted it."""
    seconds = manifest.read(folder.manifest).get("arms", {}).get(arm.name, {}).get("prepared_in_s")
    return None if seconds is None or arm.repeat or arm.draw else float(seconds)
