"""Turn stored answers and scores into estimates and contrasts. Needs neither models nor data."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.files.append_log import AppendLog
from crushtest.metrics import Metric, with_read
from crushtest.pipeline.across import SECTION, Pair, checked_pairs, refused_pairs
from crushtest.pipeline.draws import complete_draws
from crushtest.pipeline.rankings import headline_losses, rankings
from crushtest.progress import Progress
from crushtest.records import DENSE, ReadChoice, Score
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.chain import inventory
from crushtest.study.draws import paired_draws
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.stops import stops_of

if TYPE_CHECKING:
    from crushtest.stats.ranking import Losses
    from crushtest.stats.tokens import TokenCounts

REPEATS_SECTION = "noise_floor"
"""The section of the manifest that counts the repeats in each task's noise bands."""


def complete_pairs(folder: StudyFolder, plan: Plan) -> list[tuple[str, str]]:
    """Return the (arm, task) pairs that are answered and scored to the last item; none of an arm that is invalid."""
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    return [
        (arm.name, planned.name)
        for planned in plan.tasks
        for arm in plan.arms
        if arm.name not in invalid
        and folder.answers(arm.name, planned.name, planned.task.kind).complete
        and all(folder.scores(arm.name, scorer, planned.name).complete for scorer in planned.task.scorers)
    ]


def complete_repeats(folder: StudyFolder, plan: Plan, planned: PlannedTask) -> dict[str, list[int]]:
    """Return, per arm, the numbers of its repeats that are answered and scored to the last item of a task."""
    invalid = manifest.read(folder.manifest).get(manifest.INVALID, {})
    complete: dict[str, list[int]] = {}
    for arm in plan.repeats:
        answers = folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat)
        scores = (folder.scores(arm.name, s, planned.name, repeat=arm.repeat) for s in planned.task.scorers)
        if arm.title not in invalid and answers.complete and all(log.complete for log in scores):
            complete.setdefault(arm.name, []).append(arm.repeat)
    return complete


def compared_repeats(folder: StudyFolder, plan: Plan) -> dict[str, dict[str, int]]:
    """Return, per task and arm, the number of repeats in its noise bands, according to the manifest."""
    counts = manifest.read(folder.manifest).get(REPEATS_SECTION, {})
    return {planned.name: _by_arm(counts.get(planned.name, {})) for planned in plan.tasks}


def _by_arm(counted: Mapping[str, Any]) -> dict[str, int]:
    """Return the repeats of a task's bands by arm. A manifest that names no arm there counts those of dense."""
    return counted.get("arms") or ({DENSE: counted["repeats"]} if counted.get("repeats") else {})


def what_differs(folder: StudyFolder, plan: Plan) -> dict[Pair, str]:
    """Return what each pair's contrasts compare: other weights, another way of running them, or both."""
    from crushtest.stats.attribution import compares

    facts = manifest.read(folder.manifest).get("arms", {})
    engines = {arm.name: facts.get(arm.name, {}).get("engine", {}) for arm in plan.arms}
    by_name = {arm.name: arm for arm in plan.arms}
    differs = {}
    for arm, other in ((by_name[one], by_name[other]) for one, other in plan.pairs):
        plain = all(_uncompressed(each, facts.get(each.name, {})) for each in (arm, other))
        one, two = engines[arm.name], engines[other.name]
        stated = [fact for fact in WEIGHTS if fact in one and fact in two]
        other_model = arm.model != other.model or any(one[fact] != two[fact] for fact in stated)
        differs[arm.name, other.name] = compares(
            engines[other.name],
            engines[arm.name],
            other_weights=other_model or arm.recipe != other.recipe,
            converted=other_model and plain and arm.engine != other.engine,
            unstated=arm.recipe == other.recipe and not stated and any("address" in each for each in (one, two)),
        )
    return differs


WEIGHTS = ("server", "model_sha256")
"""Entries of an engine's description that tell one model's weights from another's behind the same address or path.

What only one of two engines states tells nothing: a file may be read by both.
"""


def _uncompressed(arm: Arm, facts: Mapping[str, Any]) -> bool:
    """Return whether an arm's files hold no quantized weight; dense counts as such unless its files say otherwise."""
    from crushtest.models.stored_size import stored_facts

    totals = stored_facts(arm.model).get("totals", {}) if arm.name == DENSE else facts.get("totals")
    return arm.recipe is None and totals is not None and "compression_ratio" not in totals


def compare(folder: StudyFolder, plan: Plan, progress: Progress) -> None:
    """Write estimates of every arm and contrasts of every pair, from the study's files alone.

    Only tasks that an arm has finished are compared: an unfinished arm is absent, not worse. A pair in two engines that
    disagree on the fixed text has no contrasts.
    """
    from crushtest import stats
    from crushtest.pipeline.looks import order_of, rows_at
    from crushtest.pipeline.stop_rules import sharing_of
    from crushtest.stats.false_improvements import mark_traps
    from crushtest.stats.fluency import mark_less_fluent
    from crushtest.stats.progressed import Measured
    from crushtest.stats.stopped import with_looks
    from crushtest.stats.tokens import compare_tokens

    pairs = complete_pairs(folder, plan)
    check_inputs(folder, plan, pairs)
    compared = what_differs(folder, plan)
    noted = manifest.read(folder.manifest)
    answered = {arm for arm, _ in pairs}
    refused = refused_pairs(noted, plan, answered)
    stops = stops_of(folder, plan)
    estimates, contrasts, bands = [], [], []
    lost: list[Losses] = []
    tokens: dict[tuple[str, str, str], TokenCounts] = {}
    repeated = {}
    drawn: dict[str, dict[str, list[int]]] = {}
    metrics: dict[str, tuple[Metric, ...]] = {}
    with progress.step("comparing", len(pairs)) as advance:
        for planned in plan.tasks:
            arms = [arm for arm, task in pairs if task == planned.name]
            items = folder.read_items(planned.name)
            ids = [item.id for item in items]
            measured = {arm: read_measured(folder, arm, planned, ids) for arm in arms}
            further = read_draws(folder, plan, planned, measured, ids)
            drawn[planned.name] = {arm: list(draws) for arm, draws in further.measured.items()}
            metrics[planned.name] = metrics_of(planned, (answers for answers, _ in measured.values()))
            for arm in arms:
                stop = stops.get((arm, planned.name))
                asked = items if stop is None else [item for item in items if item.id in measured[arm][0]]
                inputs = (planned.name, metrics[planned.name], asked, arm)
                estimates += stats.estimate(*inputs, *measured[arm], seed=plan.seed, draws=further.own(arm))
                for against in (other for one, other in compared if one == arm and other in measured):
                    if against != DENSE and (stop or (against, planned.name) in stops):
                        continue  # of two arms that stopped, neither has the other's pool
                    tokens[arm, against, planned.name] = compare_tokens(items, measured[against][0], measured[arm][0])
                    if (arm, against) in refused:
                        continue
                    pair: dict[str, Any] = {"compares": compared[arm, against], "against": against}
                    settings = {"seed": plan.seed, "correction": plan.correction, **pair}
                    settings |= {"draws": further.pairs(arm, against)}
                    rows = stats.contrast(*inputs, *measured[against], *measured[arm], **settings)
                    if stop is not None:
                        order = order_of(plan, planned, items)
                        both = Measured(*measured[against]), Measured(*measured[arm])
                        rules, look = sharing_of(folder, plan), order.place_of(stop.look)
                        looked = rows_at(plan, planned, metrics[planned.name], order, look, arm, *both, rules=rules)
                        rows = with_looks(rows, looked)
                    contrasts += mark_less_fluent(rows, metrics[planned.name])
                advance(1)
            of_task = [row for row in contrasts if (row.task, row.against) == (planned.name, DENSE)]
            if not any(task == planned.name for _, task in stops):
                lost += headline_losses(planned, of_task, items, measured, seed=plan.seed)
            counts: dict[str, int] = {}
            identical: list[str] = []
            for arm, again in repeats_of_task(folder, plan, planned, ids, measured):
                bands += stats.noise_bands(planned.name, metrics[planned.name], items, measured[arm], again, arm=arm)
                counts[arm] = len(again)
                if all(answers == measured[arm][0] for answers, _ in again):
                    identical.append(arm)
            if counts:
                repeated[planned.name] = {"arms": counts, "identical": identical}
    contrasts = stats.with_noise(mark_traps(contrasts, metrics), bands)
    sources, of_repeats = read_files(folder, plan, pairs)
    folder.write_results(estimates, contrasts, bands, sources=sources, repeats=of_repeats)
    manifest.set_section(folder.manifest, REPEATS_SECTION, repeated)
    manifest.set_section(folder.manifest, manifest.RANKINGS, rankings(plan.tasks, lost))
    manifest.set_section(folder.manifest, manifest.COMPARED_DRAWS, {task: arms for task, arms in drawn.items() if arms})
    manifest.set_section(folder.manifest, SECTION, checked_pairs(noted, plan, tokens, answered))
    manifest.set_section(folder.manifest, manifest.FILES, inventory(folder))
    for why in refused.values():
        progress.say(f"not compared: {why}")


Measured = tuple[dict[str, Any], dict[str, dict[str, Score]]]
"""Answers by item, and scores by scorer and item."""


class Draws(NamedTuple):
    """What the draws of a task's arms measured, by arm and number; those of arms with further draws only."""

    arms: Mapping[str, Arm]
    first: Mapping[str, Measured]
    measured: Mapping[str, Mapping[int, Measured]]

    def own(self, arm: str) -> list[Measured]:
        """Return the further draws of an arm. Dense has none: arms that are measured once are compared with draw 0."""
        return [] if arm == DENSE else list(self.measured.get(arm, {}).values())[1:]

    def pairs(self, arm: str, against: str) -> list[tuple[Measured, Measured]]:
        """Return what an arm's further draws are compared with, and these: (against, arm)."""
        of_arm, of_other = (self.measured.get(name, {0: self.first[name]}) for name in (arm, against))
        pairs = paired_draws(self.arms[arm], list(of_arm), self.arms[against], list(of_other))
        return [(of_other[two], of_arm[one]) for one, two in pairs if (one, two) != (0, 0)]


def read_draws(
    folder: StudyFolder, plan: Plan, planned: PlannedTask, measured: Mapping[str, Measured], items: Sequence[str]
) -> Draws:
    """Return what the complete draws of a task's arms measured, given what the arms themselves did."""
    complete = complete_draws(folder, plan, planned)
    return Draws(
        {arm.name: arm for arm in plan.arms},
        measured,
        {
            arm: {
                draw: read_measured(folder, arm, planned, items, draw=draw) if draw else measured[arm]
                for draw in complete[arm]
            }
            for arm in measured
            if arm in complete
        },
    )


class Compared(NamedTuple):
    """The logs that a comparison reads of a task and arm, of a repeat or of a draw; `repeat` is 0 for a draw."""

    planned: PlannedTask
    repeat: int
    logs: tuple[AppendLog[Any], ...]


def compared_logs(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> Iterator[Compared]:
    """Yield the answers and scores of these (arm, task) pairs, of their repeats and of their further draws."""
    tasks = {planned.name: planned for planned in plan.tasks}
    for arm, task in pairs:
        planned = tasks[task]
        for number in (0, *complete_repeats(folder, plan, planned).get(arm, ())):
            answers = folder.answers(arm, task, planned.task.kind, repeat=number)
            scores = (folder.scores(arm, scorer, task, repeat=number) for scorer in planned.task.scorers)
            yield Compared(planned, number, (answers, *scores))
        for number in complete_draws(folder, plan, planned).get(arm, ())[1:]:
            answers = folder.answers(arm, task, planned.task.kind, draw=number)
            scores = (folder.scores(arm, scorer, task, draw=number) for scorer in planned.task.scorers)
            yield Compared(planned, 0, (answers, *scores))


def check_inputs(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> None:
    """Raise StoreError if answers or scores are damaged or not of their items, before anything is computed."""
    items: dict[str, list[str]] = {}
    for planned, _, logs in compared_logs(folder, plan, pairs):
        if planned.name not in items:
            items[planned.name] = folder.items_table(planned.name)["item"].to_list()
        for log in logs:
            log.table(items[planned.name])


def read_files(folder: StudyFolder, plan: Plan, pairs: Iterable[tuple[str, str]]) -> tuple[list[Path], list[Path]]:
    """Return the files that a comparison reads: items, answers and scores of arms, then those of repeats."""
    of_arms: list[Path] = []
    of_repeats: list[Path] = []
    for planned, number, logs in compared_logs(folder, plan, pairs):
        of_arms.append(folder.items_path(planned.name))
        (of_repeats if number else of_arms).extend(log.final for log in logs)
    return of_arms, of_repeats


def metrics_of(planned: PlannedTask, answers: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Return the metrics of a task, with those of letters read from replies if any arm was asked so."""
    is_read = any(isinstance(answer, ReadChoice) for given in answers for answer in given.values())
    return with_read(planned.task.metrics) if is_read else planned.task.metrics


def repeats_of_task(
    folder: StudyFolder, plan: Plan, planned: PlannedTask, items: Sequence[str], arms: Container[str]
) -> Iterator[tuple[str, list[Measured]]]:
    """Yield each of these arms that was repeated, with what its complete repeats measured."""
    for arm, numbers in complete_repeats(folder, plan, planned).items():
        if arm in arms:
            yield arm, [read_measured(folder, arm, planned, items, repeat=number) for number in numbers]


def read_measured(
    folder: StudyFolder, arm: str, planned: PlannedTask, items: Sequence[str], *, repeat: int = 0, draw: int = 0
) -> Measured:
    """Return the answers of an arm, repeat or draw by item, and its scores by scorer and item.

    Raises StoreError unless they are of exactly these items.
    """
    again = {"repeat": repeat, "draw": draw}
    answers = folder.answers(arm, planned.name, planned.task.kind, **again).read(items)
    scores = {s: folder.scores(arm, s, planned.name, **again).read(items) for s in planned.task.scorers}
    return answers, scores
