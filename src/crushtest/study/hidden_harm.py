"""Which arms of a study hide harm behind quality: the measures of both, by role and dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from crushtest.metrics import ALL, READ, Metric, with_read
from crushtest.records import DENSE
from crushtest.results import Contrast
from crushtest.stats.hidden_harm import HiddenHarm, Margin, Quality, judge_hidden, quality_of, standard_margin
from crushtest.stats.joint_claims import corrected
from crushtest.stats.verdicts import UNDEFINED
from crushtest.study.headlines import headings
from crushtest.study.plan import PlannedTask

QUALITY_DIMENSIONS = ("language modelling", "downstream quality")
"""Dimensions whose tasks say how good a model is. The others' say what harm it does."""

NO_HARM_ROLES = ("ability", "coherence")
"""Headlines of other tasks that are about quality as well: right answers, and text that is still language."""

Margins = Callable[[str, Metric], Margin | None]
"""(task, metric) -> the margin that a policy gives it, if any."""


def no_policy(task: str, metric: Metric) -> Margin | None:
    """Give no margin, so that the standard ones hold."""
    return None


def hidden_harms(
    tasks: Sequence[PlannedTask],
    arms: Iterable[str],
    contrasts: Iterable[Contrast],
    *,
    margins: Margins = no_policy,
    against: str = DENSE,
) -> list[HiddenHarm]:
    """Return the verdict on every arm that is compared with `against`.

    The measures of quality of a task are those that `margins` names or, without any, those of role `ability`, or its
    headline. The measures of harm are the headlines of the other dimensions. They are corrected by Holm over every arm
    in every headline, as the report's first sentence is.
    """
    # rows of an arm that stopped early speak of the items asked, not of a whole task
    rows = [row for row in contrasts if row.against == against and row.look is None]
    headed = headings(tasks, rows)
    judged = corrected(each.row for each in headed)
    verdicts = []
    for arm in arms:
        of_arm = [row for row in rows if row.arm == arm]
        if not of_arm:
            continue
        quality = [
            each for planned in tasks if is_about_quality(planned) for each in _quality(planned, margins, of_arm)
        ]
        harms = [
            judged.get((arm, row.task, row.metric, row.group), row)
            for planned, metric, row in headed
            if row.arm == arm and is_harm(planned, metric)
        ]
        measured = {row.task for row in harms}
        lacking = [each.name for each in tasks if not is_about_quality(each) and each.name not in measured]
        verdicts.append(judge_hidden(arm, quality, harms, lacking, against=against))
    return verdicts


def is_about_quality(planned: PlannedTask) -> bool:
    """Return whether a task says how good a model is, and not what harm it does."""
    return planned.dimension in QUALITY_DIMENSIONS


def is_harm(planned: PlannedTask, metric: Metric) -> bool:
    """Return whether a headline measures harm: not in a task of quality, nor by right answers or broken text."""
    about_quality = metric.role in NO_HARM_ROLES or metric.reads == "reply"
    return not is_about_quality(planned) and not about_quality


def _quality(planned: PlannedTask, margins: Margins, rows: Sequence[Contrast]) -> list[Quality]:
    """Return the measures of quality of a task, each with an arm's contrast in it. `rows` are those of the arm."""
    pooled = {row.metric: row for row in rows if (row.task, row.group) == (planned.name, ALL)}
    directed = [metric for metric in planned.task.metrics if metric.better in ("higher", "lower")]
    able = [metric for metric in directed if metric.role == "ability"] or [planned.task.headline_metric]
    named = [metric for metric in directed if margins(planned.name, metric)]
    twins = {metric.name: metric for metric in with_read(planned.task.metrics) if metric.reads == "letter"}
    made = []
    for metric in named or able:
        margin, row = margins(planned.name, metric) or standard_margin(metric), pooled.get(metric.name)
        twin = twins.get(metric.name + READ)
        read = pooled.get(twin.name) if twin else None
        if twin and read is not None and read.verdict != UNDEFINED and (row is None or row.verdict == UNDEFINED):
            metric, row = twin, read
        made.append(quality_of(planned.name, metric, row, margin))
    return made
