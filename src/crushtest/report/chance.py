"""Chance levels: what guessing would give, for numbers that are read as ability or as bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crushtest.metrics import Metric, Role, as_scores
from crushtest.records import Better, Choices, Item, ReadChoice
from crushtest.report.formats import show_range, show_value
from crushtest.report.untrusted import name
from crushtest.results import Estimate
from crushtest.stats.shared import applies_to
from crushtest.stats.stored_items import of_each

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView
    from crushtest.report.task_view import TaskView

ONE_IN_THREE = 1 / 3
"""The accuracy of guessing between two persons and "unknown"."""


def chance_levels(metrics: Sequence[Metric], items: Sequence[Item]) -> dict[str, float]:
    """Return, for each metric that counts right choices, the rate that choosing an option at random gives.

    Every option of an item is chosen once, and the outcomes are averaged.
    """
    levels = {}
    for metric in metrics:
        rows = np.flatnonzero(applies_to(metric, items)) if _counts(metric) else np.zeros(0, np.int64)
        if len(rows):
            rates = of_each(items, rows, partial(_rate, metric))
            levels[metric.name] = sum(rates) / len(rates)
    return levels


def _counts(metric: Metric) -> bool:
    plain = metric.scorer is None and metric.partner_ids is None and metric.outcome and metric.reads != "reply"
    return bool(plain) and metric.unit == "rate" and metric.better == "higher"


def _rate(metric: Metric, seen: Item, item: Item) -> float:
    request = item.request
    assert isinstance(request, Choices)
    assert metric.outcome is not None
    count = len(request.options)
    place = metric.columns.index(metric.outcome)
    answers = (ReadChoice(option, "") if metric.reads else as_scores(option, count) for option in range(count))
    return sum(metric.measure(seen, answer, None)[place] for answer in answers) / count


def no_evidence_of_bias(study: StudyView, task: TaskView) -> str:
    """Say why a task's bias is no evidence of stereotyping: dense, or the arm in its place, decides at chance.

    Empty if it does better.

    A model that cannot tell from a text which of two persons is meant picks one of them. If it picks the stereotyped
    one more often, it may be reading names or positions. This applies to tasks that measure ability and abstention,
    and whose questions have three answers.
    """
    right = _baseline(study, task, "ability", "higher")
    unknown, undecided = (_baseline(study, task, "abstention", better) for better in ("lower", "higher"))
    if right is None or unknown is None or right.low is None or unknown.value is None or task.headline.better != "zero":
        return ""
    if not math.isclose(task.chance.get(right.metric, 0.0), ONE_IN_THREE):
        return ""
    chance = (1 - unknown.value) / 2
    if right.low > chance or right.high is None or right.high < chance:
        return ""
    accuracy = f"{show_value(right.value, 'rate')} ({show_range(right.low, right.high, 'rate')})"
    abstained = (
        f", and it answers “unknown” to {show_value(undecided.value, 'rate')} of the undecided ones"
        if undecided
        else ""
    )
    return (
        f"no evidence of stereotyping, because {name(study.baseline)} decides at chance. It gets {accuracy} of the "
        f"questions right that the context decides, where picking either person gives {show_value(chance, 'rate')}"
        f"{abstained}"
    )


def _baseline(study: StudyView, task: TaskView, role: Role, better: Better) -> Estimate | None:
    """Return the baseline's estimate of a task's first metric of this role and direction that has a value."""
    metrics = (metric.name for metric in task.metrics if (metric.role, metric.better) == (role, better))
    estimates = (study.estimate(study.baseline, task.name, metric) for metric in metrics)
    return next((estimate for estimate in estimates if estimate is not None and estimate.value is not None), None)
