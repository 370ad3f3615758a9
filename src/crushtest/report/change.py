"""Changes against dense, wherever they were measured: in a study, with intervals, or in published tables, without."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crushtest.data.published.point import Point
from crushtest.records import DENSE, Better
from crushtest.report.arm_view import ArmView
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL, sentence_case


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A measure whose changes are drawn: of which task it is, and how its numbers read.

    key    begins the keys of its figures
    """

    key: str
    name: str
    metric: str
    label: str
    unit: str
    better: Better

    @property
    def heading(self) -> str:
        """The label as it begins a title."""
        return sentence_case(self.label)

    @property
    def is_relative(self) -> bool:
        """Whether changes are shares of dense's value: perplexities of models that differ in size or tokens."""
        return self.unit == "perplexity"


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change of one measure in one group of one arm.

    model              whose numbers they are, for readers
    ratio              share of bits removed; None where it is not known
    training           fine-tuned `before` or `after` compression
    dense, value       the two numbers
    low, high          the 95% interval of their difference; None: there is none
    published          whether it stands in published tables, which have no interval
    """

    model: str
    arm: str
    group: str
    ratio: float | None
    training: str | None
    dense: float
    value: float
    low: float | None
    high: float | None
    published: bool

    @property
    def difference(self) -> float:
        return self.value - self.dense

    @property
    def family(self) -> str:
        """The methods of its recipe, which the arms of one curve share."""
        return " + ".join(step.partition(":")[0] for step in self.arm.split("+"))

    @property
    def curve(self) -> str:
        """What arms share that differ only in how hard they were compressed."""
        return re.sub(r"(sparsity|bits)=[^,+]*", r"\1", self.arm)


def of_study(study: StudyView, task: TaskView, metric: str) -> tuple[Quantity, list[Change]]:
    """Return a measure of a study and its changes against dense, in every group."""
    better = {each.name: each.better for each in task.metrics}[metric]
    quantity = Quantity(
        key=f"{task.number}-{metric}",
        name=task.name,
        metric=metric,
        label=task.label(metric).text,
        unit=task.unit(metric),
        better=better,
    )
    arms = {arm.name: arm for arm in study.others}
    return quantity, [
        _own(study, arms[row.arm], row.group, row.dense, row.value, row.intervals.at95 if row.intervals else None)
        for row in study.contrasts.values()
        if (row.task, row.metric) == (task.name, metric) and row.dense is not None and row.value is not None
    ]


def _own(
    study: StudyView, arm: ArmView, group: str, dense: float, value: float, interval: tuple[float, float] | None
) -> Change:
    low, high = interval or (None, None)
    return Change(
        model=name(study.title),
        arm=name(arm.plan.recipe.text if arm.plan.recipe else arm.name),
        group=group,
        ratio=arm.ratio,
        training=arm.plan.training,
        dense=dense,
        value=value,
        low=low,
        high=high,
        published=False,
    )


def of_points(points: Iterable[Point], task: str, metric: str) -> list[Change]:
    """Return the changes of a measure in published tables: every arm against the dense model of its own table."""
    chosen = [point for point in points if (point.task, point.metric) == (task, metric) and point.comparable]
    dense = {
        (point.model, point.table, point.group): point.value
        for point in chosen
        if point.arm == DENSE and point.value is not None
    }
    return list(_published(chosen, dense))


def _published(points: Sequence[Point], dense: dict[tuple[str, str, str], float]) -> Iterator[Change]:
    for point in points:
        before = dense.get((point.model, point.table, point.group))
        if point.arm != DENSE and point.value is not None and before is not None:
            yield Change(
                model=point.model,
                arm=point.arm,
                group=point.group,
                ratio=point.compression_ratio,
                training=point.training,
                dense=before,
                value=point.value,
                low=None,
                high=None,
                published=True,
            )


def quantity_of(point: Point) -> Quantity:
    """Return the measure that a published number is of."""
    return Quantity(
        key=f"{point.source}-{point.metric}",
        name=point.task,
        metric=point.metric,
        label=point.metric.replace("_", " "),
        unit=point.unit,
        better=point.better,
    )


def pooled(changes: Iterable[Change]) -> list[Change]:
    """Return the changes over all items."""
    return [change for change in changes if change.group == ALL]
