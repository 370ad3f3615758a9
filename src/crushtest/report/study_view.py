"""A study as its report sees it: read once, from the files of its folder and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from crushtest.metrics import Metric, by_reported_name
from crushtest.records import DENSE, Better, Contrast, Estimate, NoiseBand
from crushtest.report.chance import chance_levels
from crushtest.report.claims import Key, is_tested, judge
from crushtest.report.headlines import fourfold_missed, headline
from crushtest.report.wording import ALL, DIMENSION_ORDER, Label, attribute_of, base_metric, label_of, listed
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask, make_plan
from crushtest.study.spec import read_spec

MOST_HEADLINES = 6


@dataclass(frozen=True)
class ArmView:
    """One arm: what it is, and what compression did to its size.

    compression   what compression.json holds; None for a model that was tested as found, and for dense
    facts         the arm's entry in the manifest; empty while it has not been loaded. `method` and `totals` in it are
                  those of a model that was tested as found
    asked         per task, what asking it took: items, seconds, peak_memory_bytes
    """

    number: int
    name: str
    plan: Arm
    compression: dict[str, Any] | None
    facts: dict[str, Any]
    asked: dict[str, Any]

    @property
    def totals(self) -> dict[str, Any]:
        """The totals of compression.json: of the arm's own, or of the one that its model came with."""
        return dict((self.compression or self.facts).get("totals", {}))

    @property
    def ratio(self) -> float | None:
        """Share of the compressed layers' bits that compression removed; 0 for dense, None where nobody recorded it."""
        return 0.0 if self.name == DENSE else self.totals.get("compression_ratio")

    @property
    def draw(self) -> str:
        """`one calibration draw` for an arm that calibrates: no interval covers another draw. Otherwise empty."""
        return "one calibration draw" if self.plan.recipe is not None and self.plan.recipe.calibrates else ""

    @property
    def method(self) -> str:
        """How a model that is tested as found was compressed, as far as its files say; empty for other arms."""
        return str(self.facts.get("method", ""))

    @property
    def family(self) -> str:
        """The methods of its recipe, which arms of one curve share; those of a model as found, as its files say."""
        if self.plan.recipe is None:
            return DENSE if self.name == DENSE else self.method or "as found"
        return " + ".join(step.method for step in self.plan.recipe.steps)


@dataclass(frozen=True)
class TaskView:
    """One task: what was planned, what the manifest says of it, and how many items it has (None: not asked yet).

    headline   the metric that stands for the task where there is room for one
    unfit      the metrics that would miss a fourfold rise
    chance     metric -> the rate that guessing gives, of metrics that count right choices
    """

    number: int
    planned: PlannedTask
    facts: dict[str, Any]
    items: int | None
    headline: Metric
    unfit: frozenset[str]
    chance: dict[str, float]

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.planned.task.metrics

    @cached_property
    def units(self) -> dict[str, str]:
        """Metric -> how to print it."""
        return {metric.name: metric.unit for metric in self.metrics}

    @cached_property
    def reported(self) -> dict[str, Metric]:
        """Every name that a row of the task may have -> the metric that it is or is made from."""
        return by_reported_name(self.metrics)

    def label(self, metric: str) -> Label:
        """What readers call a metric or a row made from its groups."""
        return label_of(metric, self.reported.get(metric))

    def unit(self, metric: str) -> str:
        """How to print a metric or one derived from it (`_gap`)."""
        return self.units.get(metric) or self.units.get(base_metric(metric), "score")


@dataclass(frozen=True)
class StudyView:
    """Everything a report needs, apart from the items. Keys are (arm, task, metric, group).

    `p_adjusted` of the contrasts is corrected over what the report shows at once (`claims`), not over the rows of the
    task and arm as in the files.
    """

    folder: StudyFolder
    plan: Plan
    manifest: dict[str, Any]
    arms: tuple[ArmView, ...]
    tasks: tuple[TaskView, ...]
    estimates: dict[Key, Estimate]
    contrasts: dict[Key, Contrast]
    bands: tuple[NoiseBand, ...]

    def task(self, name: str) -> TaskView:
        """The task of that name."""
        return next(task for task in self.tasks if task.name == name)

    @cached_property
    def others(self) -> tuple[ArmView, ...]:
        """The arms that are compared with the dense one."""
        return tuple(arm for arm in self.arms if arm.name != DENSE)

    @cached_property
    def compared(self) -> frozenset[tuple[str, str]]:
        """The (arm, task) pairs that have contrasts."""
        return frozenset((arm, task) for arm, task, _, _ in self.contrasts)

    @cached_property
    def measured(self) -> frozenset[tuple[str, str]]:
        """The (arm, task) pairs that have estimates."""
        return frozenset((arm, task) for arm, task, _, _ in self.estimates)

    @cached_property
    def dimensions(self) -> dict[str, tuple[TaskView, ...]]:
        """The dimensions that the study has, in the report's order, each with its tasks."""
        order = (*DIMENSION_ORDER, *sorted({task.planned.dimension for task in self.tasks} - set(DIMENSION_ORDER)))
        found = {name: tuple(task for task in self.tasks if task.planned.dimension == name) for name in order}
        return {name: tasks for name, tasks in found.items() if tasks}

    @cached_property
    def rows_of(self) -> dict[tuple[str, str], list[str]]:
        """(task, metric) -> the groups that have rows, in the order of the files."""
        groups: dict[tuple[str, str], dict[str, None]] = {}
        for _, task, metric, group in (*self.contrasts, *self.estimates):
            groups.setdefault((task, metric), {})[group] = None
        return {key: list(names) for key, names in groups.items()}

    @cached_property
    def better(self) -> dict[tuple[str, str], Better]:
        """(task, metric) -> the direction that is better."""
        rows: tuple[Contrast | Estimate, ...] = (*self.contrasts.values(), *self.estimates.values())
        return {(row.task, row.metric): row.better for row in rows}

    @cached_property
    def headlines(self) -> tuple[Contrast, ...]:
        """Every arm in every headline: what the first sentence speaks of."""
        return tuple(
            row
            for arm in self.others
            for task in self.tasks
            for group in self.headline_groups(task)
            if (row := self.contrast(arm.name, task.name, task.headline.name, group)) is not None
        )

    @cached_property
    def comparisons(self) -> int:
        """How many comparisons the first sentence is corrected over."""
        return sum(map(is_tested, self.headlines))

    def pooled(self, arm: ArmView) -> Iterator[tuple[TaskView, Contrast]]:
        """One arm in every measure that is shown over all items, the headlines included."""
        for task in self.tasks:
            for metric in self.metrics_of(task):
                for group in self.shown_groups(task, metric):
                    row = self.contrast(arm.name, task.name, metric, group)
                    if row is not None:
                        yield task, row

    @property
    def draws(self) -> str:
        """Which arms' weights come from one calibration draw, as a sentence; the empty text where none's do."""
        arms = [arm.name for arm in self.others if arm.draw]
        return f"One calibration draw: {listed(arms)}." if arms else ""

    def contrast(self, arm: str, task: str, metric: str, group: str = ALL) -> Contrast | None:
        """One row of contrasts.parquet, or None: not measured."""
        return self.contrasts.get((arm, task, metric, group))

    def headline_groups(self, task: TaskView) -> tuple[str, ...]:
        """The groups whose headline stands for a task: `all`, or each of a few where the metric has no pooled row.

        Some metrics are not reported over all items, because they would mean nothing there.
        """
        return self.shown_groups(task, task.headline.name) or (ALL,)

    def shown_groups(self, task: TaskView, metric: str) -> tuple[str, ...]:
        """The groups in which a metric is shown among its task's measures: `all`, or a few where it has no such row."""
        groups = tuple(self.rows_of.get((task.name, metric), ()))
        if ALL in groups:
            return (ALL,)
        grouped = tuple(group for group in groups if "=" in group)  # not the attributes of gaps and worst groups
        return grouped if len(grouped) <= MOST_HEADLINES else ()

    def estimate(self, arm: str, task: str, metric: str, group: str = ALL) -> Estimate | None:
        """One row of estimates.parquet, or None: not measured."""
        return self.estimates.get((arm, task, metric, group))

    def metrics_of(self, task: TaskView) -> Iterator[str]:
        """The metrics that have rows, the derived ones after the one they are made from."""
        names = [metric for found, metric in self.rows_of if found == task.name]
        order = {metric.name: number for number, metric in enumerate(task.metrics)}
        yield from sorted(names, key=lambda name: (order.get(base_metric(name), len(order)), base_metric(name) != name))

    @property
    def title(self) -> str:
        """The model's name for readers."""
        model = self.plan.dense.model
        return "SmolLM2-135M-Instruct (demo)" if model == "demo" else model

    @property
    def dense_note(self) -> str | None:
        """What must be known about the dense arm's weights, as the manifest has it."""
        facts = self.manifest.get("arms", {}).get(DENSE, {})
        note = facts.get("model", {}).get("note")
        return None if note is None else str(note)


def ordered_groups(study: StudyView, task: TaskView, metric: str) -> list[str]:
    """The groups that a metric has, attribute by attribute; the attribute that covers most items first."""
    groups = [group for group in study.rows_of.get((task.name, metric), []) if "=" in group]
    covered: Counter[str] = Counter()
    for group in groups:
        estimate = study.estimate(DENSE, task.name, metric, group)
        covered[attribute_of(group)] += estimate.n if estimate else 0
    return sorted(groups, key=lambda group: (-covered[attribute_of(group)], attribute_of(group), group))


def read_study(folder: StudyFolder) -> StudyView:
    """Read a study. Raises StoreError where it has no results yet."""
    plan = make_plan(read_spec(folder.specification))
    content = manifest.read(folder.manifest)
    contrasts = {(c.arm, c.task, c.metric, c.group): c for c in folder.read_contrasts()}
    return judged(
        StudyView(
            folder,
            plan,
            content,
            tuple(_arm(folder, content, number, arm) for number, arm in enumerate(plan.arms)),
            tuple(_task(folder, content, contrasts, number, planned) for number, planned in enumerate(plan.tasks)),
            {(e.arm, e.task, e.metric, e.group): e for e in folder.read_estimates()},
            contrasts,
            tuple(folder.read_bands()),
        )
    )


def judged(study: StudyView) -> StudyView:
    """Return the study with its contrasts' p corrected over what the report shows at once."""
    shown = [row for arm in study.others for _, row in study.pooled(arm)]
    return replace(study, contrasts=judge(study.contrasts, headlines=study.headlines, shown=shown))


def _arm(folder: StudyFolder, content: dict[str, Any], number: int, arm: Arm) -> ArmView:
    path = folder.compression(arm.name)
    compression = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    facts, asked = (content.get(section, {}).get(arm.name, {}) for section in ("arms", "asked"))
    return ArmView(number, arm.name, arm, compression, facts, asked)


def _task(
    folder: StudyFolder, content: dict[str, Any], contrasts: dict[Key, Contrast], number: int, planned: PlannedTask
) -> TaskView:
    path = folder.items_path(planned.name)
    items = pl.scan_parquet(path).select(pl.len()).collect().item() if path.exists() else None
    metrics = planned.task.metrics
    rows = [row for row in contrasts.values() if row.task == planned.name and row.group == ALL]
    unfit = frozenset(metric.name for metric in metrics if fourfold_missed(metric, rows))
    guesses = items is not None and planned.task.kind == "choices"
    return TaskView(
        number=number,
        planned=planned,
        facts=content.get("tasks", {}).get(planned.name, {}),
        items=items,
        headline=headline(planned.task, unfit),
        unfit=unfit,
        chance=chance_levels(metrics, folder.read_items(planned.name)) if guesses else {},
    )
