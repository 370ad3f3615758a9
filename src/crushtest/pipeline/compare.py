"""From stored answers and scores to estimates and contrasts. Needs neither models nor data."""

from __future__ import annotations

from typing import Any

from crushtest.progress import Bars, Lines
from crushtest.records import DENSE, Score
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

NOTED = "noise_floor"
"""Section of the manifest: the repeats that went into each task's noise bands."""


def complete_pairs(folder: StudyFolder, plan: Plan) -> list[tuple[str, str]]:
    """The (arm, task) pairs that are answered and scored to the last item; none of an arm that is invalid."""
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    return [
        (arm.name, planned.name)
        for planned in plan.tasks
        for arm in plan.arms
        if arm.name not in invalid
        and folder.answers(arm.name, planned.name, planned.task.kind).complete
        and all(folder.scores(arm.name, scorer, planned.name).complete for scorer in planned.task.scorers)
    ]


def complete_repeats(folder: StudyFolder, plan: Plan, planned: PlannedTask) -> list[int]:
    """The numbers of the repeats of dense that are answered and scored to the last item of a task."""
    return [
        number
        for number in range(1, len(plan.repeats) + 1)
        if folder.answers(DENSE, planned.name, planned.task.kind, repeat=number).complete
        and all(folder.scores(DENSE, s, planned.name, repeat=number).complete for s in planned.task.scorers)
    ]


def compared_repeats(folder: StudyFolder, plan: Plan) -> dict[str, int]:
    """Task -> how many repeats of dense its noise bands were made from, as the manifest has it."""
    noted = manifest.read(folder.manifest).get(NOTED, {})
    return {planned.name: noted.get(planned.name, {}).get("repeats", 0) for planned in plan.tasks}


def what_differs(folder: StudyFolder, plan: Plan) -> dict[str, str]:
    """Arm -> what its contrasts compare: other weights, another way of running them, or both (see `stats.compares`)."""
    from crushtest.stats.attribution import compares

    ran = {arm: facts.get("engine", {}) for arm, facts in manifest.read(folder.manifest).get("arms", {}).items()}
    return {
        arm.name: compares(
            ran.get(DENSE, {}),
            ran.get(arm.name, {}),
            other_weights=arm.recipe is not None or arm.model != plan.dense.model,
        )
        for arm in plan.arms
    }


def compare(folder: StudyFolder, plan: Plan, progress: Bars | Lines) -> None:
    """Estimates of every arm and contrasts against the dense one, from the files alone.

    Only what is answered and scored to the last item is compared; an unfinished arm is absent, not worse.
    """
    from crushtest import stats
    from crushtest.stats.false_improvements import mark_traps
    from crushtest.stats.fluency import mark_less_fluent

    pairs = complete_pairs(folder, plan)
    compared = what_differs(folder, plan)
    estimates, contrasts, bands = [], [], []
    repeated = {}
    with progress.step("comparing", len(pairs)) as advance:
        for planned in plan.tasks:
            arms = [arm for arm, task in pairs if task == planned.name]
            items = folder.read_items(planned.name)
            measured = {arm: read_measured(folder, arm, planned) for arm in arms}
            for arm in arms:
                inputs = (planned.name, planned.task.metrics, items, arm)
                estimates += stats.estimate(*inputs, *measured[arm], seed=plan.seed)
                if arm != DENSE and DENSE in measured:
                    settings: dict[str, Any] = {
                        "seed": plan.seed,
                        "correction": plan.correction,
                        "compares": compared[arm],
                    }
                    found = stats.contrast(*inputs, *measured[DENSE], *measured[arm], **settings)
                    contrasts += mark_less_fluent(found, planned.task.metrics)
                advance(1)
            repeats = complete_repeats(folder, plan, planned) if DENSE in measured else []
            if repeats:
                again = [read_measured(folder, DENSE, planned, repeat=number) for number in repeats]
                compared_again = (planned.name, planned.task.metrics, items, measured[DENSE], again)
                bands += stats.noise_bands(*compared_again)
                repeated[planned.name] = {"repeats": len(repeats)}
    metrics = {planned.name: planned.task.metrics for planned in plan.tasks}
    folder.write_results(estimates, stats.with_noise(mark_traps(contrasts, metrics), bands), bands)
    manifest.set_section(folder.manifest, NOTED, repeated)


def read_measured(
    folder: StudyFolder, arm: str, planned: PlannedTask, *, repeat: int = 0
) -> tuple[dict[str, Any], dict[str, dict[str, Score]]]:
    """One arm's, or one repeat's, answers by item, and its scores by scorer and item."""
    answers = folder.answers(arm, planned.name, planned.task.kind, repeat=repeat).read()
    scores = {s: folder.scores(arm, s, planned.name, repeat=repeat).read() for s in planned.task.scorers}
    return answers, scores
