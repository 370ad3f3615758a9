"""Turn stored answers and scores into estimates and contrasts. Needs neither models nor data."""

from __future__ import annotations

from typing import Any

from crushtest.progress import Progress
from crushtest.records import DENSE, Score
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

REPEATS_SECTION = "noise_floor"
"""The section of the manifest that counts the repeats in each task's noise bands."""


def complete_pairs(folder: StudyFolder, plan: Plan) -> list[tuple[str, str]]:
    """Return the (arm, task) pairs that are answered and scored to the last item."""
    return [
        (arm.name, planned.name)
        for planned in plan.tasks
        for arm in plan.arms
        if folder.answers(arm.name, planned.name, planned.task.kind).complete
        and all(folder.scores(arm.name, scorer, planned.name).complete for scorer in planned.task.scorers)
    ]


def complete_repeats(folder: StudyFolder, plan: Plan, planned: PlannedTask) -> list[int]:
    """Return the numbers of dense's repeats that are answered and scored to the last item of a task."""
    return [
        number
        for number in range(1, len(plan.repeats) + 1)
        if folder.answers(DENSE, planned.name, planned.task.kind, repeat=number).complete
        and all(folder.scores(DENSE, s, planned.name, repeat=number).complete for s in planned.task.scorers)
    ]


def compared_repeats(folder: StudyFolder, plan: Plan) -> dict[str, int]:
    """Return, per task, the number of dense's repeats in its noise bands, according to the manifest."""
    counts = manifest.read(folder.manifest).get(REPEATS_SECTION, {})
    return {planned.name: counts.get(planned.name, {}).get("repeats", 0) for planned in plan.tasks}


def what_differs(folder: StudyFolder, plan: Plan) -> dict[str, str]:
    """Return what each arm's contrasts compare: other weights, another way of running them, or both."""
    from crushtest.stats.attribution import compares

    engines = {arm: facts.get("engine", {}) for arm, facts in manifest.read(folder.manifest).get("arms", {}).items()}
    return {
        arm.name: compares(
            engines.get(DENSE, {}),
            engines.get(arm.name, {}),
            other_weights=arm.recipe is not None or arm.model != plan.dense.model,
        )
        for arm in plan.arms
    }


def compare(folder: StudyFolder, plan: Plan, progress: Progress) -> None:
    """Write estimates of every arm and contrasts with the dense one, from the study's files alone.

    Only tasks that an arm has finished are compared: an unfinished arm is absent, not worse.
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
                    rows = stats.contrast(*inputs, *measured[DENSE], *measured[arm], **settings)
                    contrasts += mark_less_fluent(rows, planned.task.metrics)
                advance(1)
            repeats = complete_repeats(folder, plan, planned) if DENSE in measured else []
            if repeats:
                again = [read_measured(folder, DENSE, planned, repeat=number) for number in repeats]
                compared_again = (planned.name, planned.task.metrics, items, measured[DENSE], again)
                bands += stats.noise_bands(*compared_again)
                repeated[planned.name] = {"repeats": len(repeats)}
    metrics = {planned.name: planned.task.metrics for planned in plan.tasks}
    folder.write_results(estimates, stats.with_noise(mark_traps(contrasts, metrics), bands), bands)
    manifest.set_section(folder.manifest, REPEATS_SECTION, repeated)


def read_measured(
    folder: StudyFolder, arm: str, planned: PlannedTask, *, repeat: int = 0
) -> tuple[dict[str, Any], dict[str, dict[str, Score]]]:
    """Return the answers of an arm or repeat by item, and its scores by scorer and item."""
    answers = folder.answers(arm, planned.name, planned.task.kind, repeat=repeat).read()
    scores = {s: folder.scores(arm, s, planned.name, repeat=repeat).read() for s in planned.task.scorers}
    return answers, scores
