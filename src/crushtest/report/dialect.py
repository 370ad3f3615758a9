"""The dialect table: what two varieties of a language cost every model, and by how much more than before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from crushtest.data.published.point import Point
from crushtest.records import DENSE
from crushtest.report.formats import show_difference, show_value
from crushtest.report.study_view import StudyView
from crushtest.report.table_files import Table
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name
from crushtest.report.wording import ALL

SIDES = ("dialect=AA", "dialect=white")
"""The groups of a corpus that holds both varieties, the dialect first."""


class Cost(NamedTuple):
    """What the dialect and the mainstream variety cost one arm: perplexities, or bits per byte."""

    dialect: float
    mainstream: float

    @property
    def gap(self) -> float:
        return self.dialect - self.mainstream

    @property
    def log_ratio(self) -> float:
        """The difference in nats, which does not grow when everything becomes as many times harder."""
        return math.log(self.dialect / self.mainstream)


def study_tables(study: StudyView) -> Iterator[Table]:
    """Yield the table of every task of a study that measures two varieties."""
    for task in study.tasks:
        costs = {arm.name: cost for arm in study.arms if (cost := _cost(study, task, arm.name)) is not None}
        if DENSE in costs:
            unit = task.unit(next(iter(_measures(study, task)))[0])
            yield _table(f"{task.name}-dialect", task.name, unit, {study.title: costs})


def published_tables(points: Sequence[Point]) -> Iterator[Table]:
    """Yield the table of every published corpus with two varieties."""
    found: dict[tuple[str, str, str], dict[str, dict[str, dict[str, float]]]] = {}
    for point in points:
        if point.group in SIDES and point.value is not None and point.comparable:
            key = (point.source, point.task, point.unit)
            found.setdefault(key, {}).setdefault(point.model, {}).setdefault(point.arm, {})[point.group] = point.value
    for (source, task, unit), models in found.items():
        costs = {
            model: {arm: Cost(sides[SIDES[0]], sides[SIDES[1]]) for arm, sides in arms.items() if len(sides) == 2}
            for model, arms in models.items()
        }
        yield _table(f"{source}-{task}-dialect", f"{task} in {source}", unit, costs)


def _measures(study: StudyView, task: TaskView) -> list[tuple[str, str]]:
    """Return (metric, group) of both sides: one perplexity of two groups, or metrics with a `side`."""
    perplexity = next((metric.name for metric in task.metrics if metric.unit == "perplexity"), "")
    if set(SIDES) <= set(study.rows_of.get((task.name, perplexity), [])):
        return [(perplexity, group) for group in SIDES]
    sided = [metric.name for metric in task.metrics if metric.side is not None]
    return [(metric, ALL) for metric in sided] if all((task.name, metric) in study.rows_of for metric in sided) else []


def _cost(study: StudyView, task: TaskView, arm: str) -> Cost | None:
    values = [study.estimate(arm, task.name, metric, group) for metric, group in _measures(study, task)]
    numbers = [each.value for each in values if each is not None and each.value]
    return Cost(*numbers) if len(numbers) == 2 else None


def _table(stem: str, about: str, unit: str, models: Mapping[str, Mapping[str, Cost]]) -> Table:
    return Table(
        stem,
        f"What the dialect costs in {about}, as a difference and as a difference of logarithms (nats), and how both "
        "changed against the dense model. A difference widens when everything becomes harder alike, one in nats "
        "does not.",
        ("model", "variant", "dialect", "mainstream", "difference", "nats", "change of difference", "change in nats"),
        tuple(row for model, costs in models.items() if DENSE in costs for row in _rows(model, costs, unit)),
    )


def _rows(model: str, costs: Mapping[str, Cost], unit: str) -> Iterable[tuple[str, ...]]:
    dense = costs[DENSE]
    for arm, cost in costs.items():
        same = arm == DENSE
        yield (
            name(model),
            name(arm),
            show_value(cost.dialect, unit),
            show_value(cost.mainstream, unit),
            show_difference(cost.gap, unit),
            show_difference(cost.log_ratio, "nats"),
            "" if same else show_difference(cost.gap - dense.gap, unit),
            "" if same else show_difference(cost.log_ratio - dense.log_ratio, "nats"),
        )
