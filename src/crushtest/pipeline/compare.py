"""Turn stored answers and scores into estimates and contrasts. Needs neither models nor data."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crushtest import stats
from crushtest.metrics import Metric, with_read
from crushtest.pipeline.across import SECTION, Pair, checked_pairs, refused_pairs
from crushtest.pipeline.looks import order_of, rows_at
from crushtest.pipeline.measured import Arms, check_inputs, complete_pairs, complete_repeats, read_files
from crushtest.pipeline.rankings import headline_losses, rankings
from crushtest.pipeline.stop_rules import sharing_of
from crushtest.progress import Progress
from crushtest.records import DENSE
from crushtest.results import Contrast, Estimate, NoiseBand
from crushtest.stats.asked import Asked
from crushtest.stats.attribution import compares
from crushtest.stats.contrasts import SummedPair, contrasts_of
from crushtest.stats.estimates import estimates_of
from crushtest.stats.false_improvements import mark_traps
from crushtest.stats.fluency import mark_less_fluent
from crushtest.stats.ranking import Losses
from crushtest.stats.stopped import with_looks
from crushtest.stats.stored_items import of_ids
from crushtest.stats.tokens import TokenCounts, compare_tokens
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.chain import inventory
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.stops import Stop, stops_of

REPEATS_SECTION = "noise_floor"
"""The section of the manifest that counts the repeats in each task's noise bands."""


def compared_repeats(folder: StudyFolder, plan: Plan) -> dict[str, dict[str, int]]:
    """Return, per task and arm, the number of repeats in its noise bands, according to the manifest."""
    counts = manifest.read(folder.manifest).get(REPEATS_SECTION, {})
    return {planned.name: _by_arm(counts.get(planned.name, {})) for planned in plan.tasks}


def _by_arm(counted: Mapping[str, Any]) -> dict[str, int]:
    """Return the repeats of a task's bands by arm. A manifest that names no arm there counts those of dense."""
    return counted.get("arms") or ({DENSE: counted["repeats"]} if counted.get("repeats") else {})


def what_differs(folder: StudyFolder, plan: Plan) -> dict[Pair, str]:
    """Return what each pair's contrasts compare: other weights, another way of running them, or both."""
    facts = manifest.read(folder.manifest).get("arms", {})
    engines = {arm.name: facts.get(arm.name, {}).get("engine", {}) for arm in plan.arms}
    by_name = {arm.name: arm for arm in plan.arms}
    differs = {}
    for arm, other in ((by_name[one], by_name[other]) for one, other in plan.pairs):
        plain = all(_uncompressed(each, facts.get(each.name, {})) for each in (arm, other))
        one, two = engines[arm.name], engines[other.name]
        stated = [fact for fact in WEIGHTS if fact in one and fact in two]
        own_texts = [plan.calibration_of(each) for each in (arm, other)]
        other_model = arm.model != other.model or any(one[fact] != two[fact] for fact in stated)
        differs[arm.name, other.name] = compares(
            engines[other.name],
            engines[arm.name],
            other_weights=other_model or arm.recipe != other.recipe,
            converted=other_model and plain and arm.engine != other.engine,
            unstated=arm.recipe == other.recipe and not stated and any("address" in each for each in (one, two)),
            recalibrated=not other_model
            and arm.recipe == other.recipe
            and arm.calibrates
            and own_texts[0] != own_texts[1],
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
    pairs = complete_pairs(folder, plan)
    replies = check_inputs(folder, plan, pairs)
    noted = manifest.read(folder.manifest)
    answered = {arm for arm, _ in pairs}
    refused = refused_pairs(noted, plan, answered)
    made = Comparison(folder, plan, what_differs(folder, plan), refused, stops_of(folder, plan), replies)
    with progress.step("comparing", len(pairs)) as advance:
        for planned in plan.tasks:
            arms = [arm for arm, task in pairs if task == planned.name]
            made.add_task(planned, arms, advance)
    contrasts = stats.with_noise(mark_traps(made.contrasts, made.metrics), made.bands)
    sources, of_repeats = read_files(folder, plan, pairs)
    folder.write_results(made.estimates, contrasts, made.bands, sources=sources, repeats=of_repeats)
    for section, facts in {
        REPEATS_SECTION: made.repeated,
        manifest.RANKINGS: rankings(plan.tasks, made.losses),
        manifest.COMPARED_DRAWS: made.drawn,
        SECTION: checked_pairs(noted, plan, made.tokens, answered),
        manifest.FILES: inventory(folder),
    }.items():
        manifest.set_section(folder.manifest, section, facts)
    for why in refused.values():
        progress.say(f"not compared: {why}")


@dataclass
class Comparison:
    """What a study's arms measured and how they differ, task by task.

    compares   what each pair's contrasts compare
    refused    pairs that disagree on the fixed text
    stops      where an arm was stopped early in a task
    replies    tasks in which letters were read from replies
    repeated   per task the repeats in its noise bands, and which of them gave the arm's own answers
    drawn      per task and arm the numbers of the draws that were compared
    """

    folder: StudyFolder
    plan: Plan
    compares: Mapping[Pair, str]
    refused: Mapping[Pair, str]
    stops: Mapping[Pair, Stop]
    replies: Container[str]
    estimates: list[Estimate] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)
    bands: list[NoiseBand] = field(default_factory=list)
    losses: list[Losses] = field(default_factory=list)
    tokens: dict[tuple[str, str, str], TokenCounts] = field(default_factory=dict)
    metrics: dict[str, tuple[Metric, ...]] = field(default_factory=dict)
    repeated: dict[str, dict[str, Any]] = field(default_factory=dict)
    drawn: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add_task(self, planned: PlannedTask, arms: Sequence[str], advance: Callable[[int], None]) -> None:
        """Estimate and compare the arms that have finished a task, one after the other."""
        declared = planned.task.metrics
        metrics = self.metrics[planned.name] = with_read(declared) if planned.name in self.replies else declared
        against = {arm: [other for one, other in self.compares if one == arm and other in arms] for arm in arms}
        asked = Asked(metrics, self.folder.stored_items(planned.name))
        measured = Arms(self.folder, self.plan, planned, arms, against, asked)
        if measured.numbers:
            self.drawn[planned.name] = measured.numbers
        for arm in measured.one_by_one():
            self._add_arm(planned, arm, measured)
            advance(1)
        self._add_losses(planned, measured)
        self._add_bands(planned, measured)

    def _add_arm(self, planned: PlannedTask, arm: str, arms: Arms) -> None:
        seed, stop, asked = self.plan.seed, self.stops.get((arm, planned.name)), arms.asked
        draws = arms.draws(arm)
        if stop is not None:
            held = draws[0].measured.answers
            asked = Asked(asked.metrics, of_ids(asked.items, held))
            draws = [asked.summed(each.measured) for each in draws]
        self.estimates += estimates_of(planned.name, asked, arm, draws, seed=seed)
        for against in arms.compared[arm]:
            pairs = arms.pairs(arm, against)
            answers = [each.measured.answers for each in pairs[0]]
            tokens = self.tokens[arm, against, planned.name] = compare_tokens(arms.asked.items, *answers)
            if (arm, against) in self.refused or self._waits(arm, against, planned):
                continue
            if stop is not None:
                pairs = [SummedPair(*(asked.summed(each.measured) for each in pair)) for pair in pairs]
            rows = contrasts_of(
                planned.name, asked, arm, pairs, tokens, seed=seed, correction=self.plan.correction,
                compares=self.compares[arm, against], against=against,
            )  # fmt: skip
            if stop is not None:
                rows = with_looks(rows, self._rows_at_stop(planned, arm, stop, arms.asked, pairs[0]))
            self.contrasts += mark_less_fluent(rows, asked.metrics)

    def _waits(self, arm: str, against: str, planned: PlannedTask) -> bool:
        """Return True if two arms besides dense have no contrast yet: one of them stopped, and `run` asks the rest."""
        return against != DENSE and any((each, planned.name) in self.stops for each in (arm, against))

    def _rows_at_stop(
        self, planned: PlannedTask, arm: str, stop: Stop, asked: Asked, pair: SummedPair
    ) -> list[Contrast]:
        order, rules = order_of(self.plan, planned, asked.items), sharing_of(self.folder, self.plan)
        look, (dense, own) = order.place_of(stop.look), (each.measured for each in pair)
        return rows_at(self.plan, planned, asked.metrics, order, look, arm, dense, own, rules=rules)

    def _add_losses(self, planned: PlannedTask, arms: Arms) -> None:
        """Add how much each arm lost in the task's headlines, unless one of them was not asked every item."""
        rows = [row for row in self.contrasts if (row.task, row.against) == (planned.name, DENSE)]
        if not any(task == planned.name for _, task in self.stops):
            self.losses += headline_losses(planned, rows, arms, seed=self.plan.seed)

    def _add_bands(self, planned: PlannedTask, arms: Arms) -> None:
        counts: dict[str, int] = {}
        identical: list[str] = []
        for arm, numbers in complete_repeats(self.folder, self.plan, planned).items():
            if arm not in arms.names:
                continue
            own, again = arms.measured(arm), [arms.measured(arm, repeat=number) for number in numbers]
            self.bands += stats.noise_bands(planned.name, arms.asked.metrics, arms.asked.items, own, again, arm=arm)
            counts[arm] = len(again)
            if all(answers == own.answers for answers, _ in again):
                identical.append(arm)
        if counts:
            self.repeated[planned.name] = {"arms": counts, "identical": identical}
