"""One task as the report sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from crushtest.metrics import Metric, by_reported_name, with_read
from crushtest.records import DENSE
from crushtest.report.chance import chance_levels
from crushtest.report.wording import ALL, Label, base_metric, label_of, sentence_case
from crushtest.results import Contrast, Estimate
from crushtest.study.folder import StudyFolder
from crushtest.study.headlines import fourfold_missed, headline, headline_metrics
from crushtest.study.plan import PlannedTask


@dataclass(frozen=True)
class TaskView:
    """One task: what was planned, its entry in the manifest, and how many items it has (None: not asked yet).

    headline   the metric that stands for the task where there is room for one
    unfit      the metrics that would miss a fourfold rise
    chance     metric -> the rate that guessing gives, for metrics that count right choices
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

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The task's metrics, with those of letters read from replies, which have rows only if an arm was asked so."""
        return with_read(self.planned.task.metrics)

    @property
    def heading(self) -> str:
        """The headline's label as it begins a title."""
        return sentence_case(self.label(self.headline.name).text)

    @cached_property
    def units(self) -> dict[str, str]:
        """Metric -> its unit, which says how to print it."""
        return {metric.name: metric.unit for metric in self.metrics}

    @cached_property
    def reported(self) -> dict[str, Metric]:
        """Every name that a row of the task may have -> the metric that the row reports or is derived from."""
        return by_reported_name(self.metrics)

    def label(self, metric: str) -> Label:
        """Return what readers call a metric or a row derived from its groups."""
        return label_of(metric, self.reported.get(metric))

    def unit(self, metric: str) -> str:
        """Return the unit of a metric or of a row derived from it (`_gap`)."""
        return self.units.get(metric) or self.units.get(base_metric(metric), "score")


def by_headline(task: TaskView) -> tuple[TaskView, ...]:
    """Return the task once per headline: its own, others that it declares, and the share of replies with a letter."""
    _, *others = headline_metrics(task.planned.task, task.headline)
    return task, *(replace(task, headline=metric) for metric in others)


def read_task(
    folder: StudyFolder,
    manifest: dict[str, Any],
    estimates: Sequence[Estimate],
    contrasts: Sequence[Contrast],
    number: int,
    planned: PlannedTask,
) -> TaskView:
    """Read what a study's files hold on one task."""
    items = folder.stored_items(planned.name) if folder.items_path(planned.name).exists() else None
    metrics = with_read(planned.task.metrics)
    in_dense = {
        row.metric for row in estimates if (row.arm, row.task) == (DENSE, planned.name) and row.value is not None
    }
    rows = [row for row in contrasts if row.task == planned.name and row.group == ALL]
    unfit = frozenset(metric.name for metric in metrics if fourfold_missed(metric, rows))
    return TaskView(
        number=number,
        planned=planned,
        facts=manifest.get("tasks", {}).get(planned.name, {}),
        items=None if items is None else len(items),
        headline=headline(planned.task, unfit, in_dense),
        unfit=unfit,
        chance=chance_levels(metrics, items) if items is not None and planned.task.kind == "choices" else {},
    )
