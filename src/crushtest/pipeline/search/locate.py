"""Which blocks carry an arm's harm, and whether finer bits for these help more than for any others at equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.compress.prepare import read_calibration
from crushtest.compress.recipes import Recipe
from crushtest.compress.run import compress
from crushtest.errors import UnknownName, UsageError
from crushtest.pipeline.halves import half_of
from crushtest.pipeline.search.gauge import Gauge, Opened, gauge_of, open_model, spread_over_clusters
from crushtest.progress import Progress, show_progress
from crushtest.records import DENSE
from crushtest.registry import METHODS
from crushtest.stats.ratio_error import RatioError, ratio_error
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.located import LocatedPart, LocateFolder, LocateRecord, Share
from crushtest.study.plan import Plan, stored_plan

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.engines.hf.block_divergence import Divergence

Measures = Mapping[str, "Divergence"]
"""What an arm's items diverge by, task by task."""


@dataclass
class Bench:
    """A dense model that takes recipes in turn, and what measures it on either half."""

    opened: Opened
    calibration: CalibrationTokens
    search: Gauge
    verify: Gauge
    dense: dict[str, Tensor]
    bits: dict[str, float] = field(default_factory=dict)

    def measures(self, recipe: Recipe, gauge: Gauge) -> dict[str, Divergence]:
        """Return the divergence of every item under a recipe, from the first block up."""
        with self.compressed(recipe):
            gauge.restart()
            return {planned.name: gauge.divergence(planned) for planned in gauge.planned}

    @contextmanager
    def compressed(self, recipe: Recipe) -> Iterator[None]:
        """Compress the model until the `with` ends, and note the bits per weight of all its linear layers."""
        record = compress(self.opened.model, recipe, self.calibration)
        weights = sum(part.weights for part in self.opened.parts)
        totals = record.totals
        saved = 8 * (totals.dense_model_size_bytes - totals.compressed_model_size_bytes)
        self.bits[recipe.text] = 16 - saved / weights
        try:
            yield
        finally:
            self.opened.model.network.load_state_dict(self.dense)


def locate(root: Path, arm: str, items: int) -> LocateRecord:
    """Measure what each block carries of an arm's divergence, try a repair, and write down both.

    items   per task and half, about

    Raises UnknownName for an arm that the study lacks, UsageError for one that is not dense with a recipe in `hf`
    or does not diverge from it, StoreError for a folder without the dense arm's answers.
    """
    from crushtest.pipeline.search.repair import try_repair

    folder = StudyFolder.existing(root)
    plan = stored_plan(folder.specification)
    chosen = find_arm(plan, arm)
    with show_progress() as progress:
        bench = open_bench(folder, plan, chosen, items, progress)
        recipe = chosen.recipe
        assert recipe is not None
        arm_measures = bench.measures(recipe, bench.search)
        refuse_unmoved(arm, arm_measures)
        parts = located(bench, recipe, arm_measures, progress)
        record = LocateRecord(
            arm=arm,
            recipe=recipe.text,
            items={task: len(each) for task, each in bench.search.items.items()},
            parts=tuple(parts),
        )
        record = try_repair(bench, recipe, arm_measures, record, plan.seed, progress)
    LocateFolder(folder, arm).write(record)
    return record


def refuse_unmoved(arm: str, measures: Measures) -> None:
    """Raise UsageError if an arm's items do not diverge from dense at all: no block carries a share of nothing."""
    if not any(measure.total.any() for measure in measures.values()):
        raise UsageError(f"locate: arm {arm!r} does not diverge from dense on half of the items: no block to name")


def find_arm(plan: Plan, name: str) -> Arm:
    """Return the arm of that name. Raises UnknownName or UsageError if its blocks cannot be told apart."""
    arms = {arm.name: arm for arm in plan.arms if arm.name != DENSE}
    if name not in arms:
        raise UnknownName("arm", name, arms, where="locate")
    arm = arms[name]
    if arm.recipe is None or arm.model != plan.dense.model or not (arm.in_process and plan.dense.in_process):
        raise UsageError(
            f"locate: arm {name!r} must be the study's model with a recipe, in an engine that runs the loaded model"
        )
    for step in arm.recipe.steps:
        if METHODS.get(step.method).about.replaces_layers:
            raise UsageError(
                f"locate: {step.method!r} exchanges layers, which cannot go back to dense one block at a time"
            )
    return arm


def open_bench(folder: StudyFolder, plan: Plan, arm: Arm, items: int, progress: Progress) -> Bench:
    """Return the dense model, loaded, with its measures on a sample of either half."""
    calibration = read_calibration(plan.dense.model_options, plan.dense.model, plan.calibration_of(arm))
    opened = open_model(plan, "block", progress)
    whole = {planned.name: folder.read_items(planned.name) for planned in plan.tasks}
    gauges = []
    for half, words in (("search", "half to locate by"), ("verify", "other half")):
        drawn = half_of(plan, whole, "search" if half == "search" else "verify")
        sample = {task: spread_over_clusters(each, items, plan.seed) for task, each in drawn.items()}
        gauges.append(gauge_of(opened, folder, plan, sample, progress, words))
    dense = {name: value.clone() for name, value in opened.model.network.state_dict().items()}
    return Bench(opened, calibration, gauges[0], gauges[1], dense)


def located(bench: Bench, recipe: Recipe, arm: Measures, progress: Progress) -> list[LocatedPart]:
    """Return every block, by what vanishes of the arm's divergence when it alone goes back to dense; most first."""
    gauge, structure = bench.search, bench.opened.structure
    found: list[LocatedPart] = []
    with bench.compressed(recipe), progress.step("blocks back to dense", len(gauge.parts)) as advance:
        gauge.restart()
        for place, part in enumerate(gauge.parts):
            block = structure.blocks[part.block]
            with _dense_again(block, bench.dense, part.linears[0].prefix):
                restored = {planned.name: gauge.divergence(planned) for planned in gauge.planned}
            found.append(located_part(part.name, gauge, arm, restored))
            if place + 1 < len(gauge.parts):
                for _ in range(gauge.parts[place + 1].block - part.block):
                    gauge.advance()
            advance(1)
    return sorted(found, key=lambda one: -one.mean.value)


@contextmanager
def _dense_again(block: object, dense: Mapping[str, Tensor], prefix: str) -> Iterator[None]:
    """Give a block dense's weights until the `with` ends."""
    import torch

    assert isinstance(block, torch.nn.Module)
    before = {name: parameter.detach().clone() for name, parameter in block.named_parameters()}
    try:
        for name, parameter in block.named_parameters():
            parameter.data.copy_(dense[f"{prefix}.{name}"])
        yield
    finally:
        for name, parameter in block.named_parameters():
            parameter.data.copy_(before[name])


def located_part(name: str, gauge: Gauge, arm: Measures, restored: Measures) -> LocatedPart:
    """Return what one block carries, from the items' divergences with and without it."""
    gains = gains_of(gauge, arm, arm, restored)
    dimensions: dict[str, list[RatioError]] = {}
    for planned in gauge.planned:
        if planned.name in gains:
            dimensions.setdefault(planned.dimension, []).append(gains[planned.name])
    shares = {dimension: share_of(each) for dimension, each in dimensions.items()}
    return LocatedPart(name=name, shares=shares, mean=share_of(list(gains.values())))


def gains_of(gauge: Gauge, scale: Measures, worse: Measures, better: Measures) -> dict[str, RatioError]:
    """Return, task by task, how much less one arm diverges than another on the same items, as a share of a third's."""
    gains = {}
    for planned in gauge.planned:
        task, clusters = planned.name, gauge.clusters(planned)
        whole = ratio_error(scale[task].total, scale[task].weight, clusters)
        gain = ratio_error(worse[task].total - better[task].total, worse[task].weight, clusters)
        if whole is not None and gain is not None and whole.value > 0:
            error = None if gain.error is None else gain.error / whole.value
            gains[task] = RatioError(gain.value / whole.value, error, gain.items, gain.clusters)
    return gains


def share_of(gains: Sequence[RatioError]) -> Share:
    """Return the mean of one share or more, of a task each, with its 95% interval.

    Tasks share no items, so their errors are independent. The interval is Student's, with Welch and Satterthwaite's
    degrees of freedom (Biometrics Bulletin 2, 1946), because a task may have few clusters. There is none with a single
    cluster in some task, or if the shares are the same in every cluster.
    """
    from scipy import stats

    value = sum(gain.value for gain in gains) / len(gains)
    errors = [(gain.error, gain.clusters) for gain in gains if gain.error is not None]
    variance = sum(error**2 for error, _ in errors)
    if len(errors) < len(gains) or variance == 0:
        return Share(value=value, low=None, high=None)
    freedom = variance**2 / sum(error**4 / (clusters - 1) for error, clusters in errors)
    reach = float(stats.t.ppf(0.975, freedom)) * sqrt(variance) / len(gains)
    return Share(value=value, low=value - reach, high=value + reach)
