"""A study as its report sees it, read once and from the files of its folder alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from crushtest.data.published.catalogue import read_points
from crushtest.data.published.point import Point
from crushtest.records import DENSE, Better
from crushtest.report.arm_view import ArmView, read_arm
from crushtest.report.claims import judge
from crushtest.report.drift import Drifts, read_drifts
from crushtest.report.task_view import TaskView, by_headline, read_task
from crushtest.report.wording import ALL, DIMENSION_ORDER, attribute_of, base_metric, listed, sentence_case
from crushtest.results import Contrast, Estimate, NoiseBand
from crushtest.stats.hidden_harm import HiddenHarm
from crushtest.stats.joint_claims import Key, is_tested
from crushtest.study import manifest
from crushtest.study.chain import check_rows
from crushtest.study.corrections import Correction, detectable_with_labels, key_of, read_corrections
from crushtest.study.folder import StudyFolder
from crushtest.study.headlines import shown_groups
from crushtest.study.hidden_harm import hidden_harms
from crushtest.study.plan import Plan, stored_plan


@dataclass(frozen=True)
class StudyView:
    """Everything a report needs except the items. Keys are (arm, task, metric, group).

    The contrasts' `p_adjusted` is corrected over what the report shows at once (`claims`), not over the rows of one
    task and arm as in the files. They compare with `baseline`; those with other arms are `elsewhere`, by that arm.
    `beside` are published numbers over all items of the study's tasks, which are drawn and judge nothing.
    `corrections` are what people's labels make of differences from dense, `drifts` how arms begin their answers,
    `hidden` by arm what is shown of harm that quality does not show.
    """

    folder: StudyFolder
    plan: Plan
    manifest: dict[str, Any]
    arms: tuple[ArmView, ...]
    tasks: tuple[TaskView, ...]
    estimates: dict[Key, Estimate]
    contrasts: dict[Key, Contrast]
    bands: tuple[NoiseBand, ...]
    elsewhere: dict[str, dict[Key, Contrast]] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    drifts: Drifts = field(default_factory=dict)
    hidden: dict[str, HiddenHarm] = field(default_factory=dict)
    beside: tuple[Point, ...] = ()
    baseline: str = DENSE

    def against(self, arm: str) -> StudyView:
        """Return the study with the contrasts against another arm in the place of those against dense.

        Their p is corrected over what the report shows of this arm.
        """
        return self if arm == DENSE else judged(replace(self, contrasts=self.elsewhere.get(arm, {}), baseline=arm))

    def task(self, name: str) -> TaskView:
        """Return the task of that name."""
        return next(task for task in self.tasks if task.name == name)

    @cached_property
    def others(self) -> tuple[ArmView, ...]:
        """The arms that are compared with dense."""
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
        """The study's dimensions in the report's order, each with its tasks."""
        order = (*DIMENSION_ORDER, *sorted({task.planned.dimension for task in self.tasks} - set(DIMENSION_ORDER)))
        by_dimension = {name: tuple(task for task in self.tasks if task.planned.dimension == name) for name in order}
        return {name: tasks for name, tasks in by_dimension.items() if tasks}

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
    def headed(self) -> tuple[TaskView, ...]:
        """The tasks by headline: one whose letters were read from replies comes again, with the share that gave one.

        Compression that garbles replies takes items out of every other measure.
        """
        return tuple(headed for task in self.tasks for headed in by_headline(task))

    @cached_property
    def headlines(self) -> tuple[Contrast, ...]:
        """Every arm in every headline: the comparisons that the first sentence sums up."""
        return tuple(
            row
            for arm in self.others
            for task in self.headed
            for group in self.headline_groups(task)
            if (row := self.contrast(arm.name, task.name, task.headline.name, group)) is not None
        )

    @cached_property
    def comparisons(self) -> int:
        """Number of comparisons that the first sentence is corrected over."""
        return sum(map(is_tested, self.headlines))

    def pooled(self, arm: ArmView) -> Iterator[tuple[TaskView, Contrast]]:
        """Yield one arm's contrast in every measure that is shown over all items, headlines included."""
        for task in self.tasks:
            for metric in self.metrics_of(task):
                for group in self.shown_groups(task, metric):
                    row = self.contrast(arm.name, task.name, metric, group)
                    if row is not None:
                        yield task, row

    @property
    def draws(self) -> str:
        """Sentences that name the arms whose weights come from one calibration draw, or several; empty without any."""
        by_count: dict[str, list[str]] = {}
        for arm in self.others:
            if arm.draw:
                by_count.setdefault(arm.draw, []).append(arm.name)
        return " ".join(f"{sentence_case(count)}: {listed(arms)}." for count, arms in by_count.items())

    def contrast(self, arm: str, task: str, metric: str, group: str = ALL) -> Contrast | None:
        """Return one row of contrasts.parquet; None if it was not measured."""
        return self.contrasts.get((arm, task, metric, group))

    def headline_groups(self, task: TaskView) -> tuple[str, ...]:
        """Return the groups whose headline stands for a task: `all`, or each of a few if the metric has no pooled row.

        Some metrics are not reported over all items, where they would mean nothing.
        """
        return self.shown_groups(task, task.headline.name) or (ALL,)

    def shown_groups(self, task: TaskView, metric: str) -> tuple[str, ...]:
        """Return the groups in which a task's measure is shown: `all`, or each of a few if it has no pooled row."""
        return shown_groups(self.rows_of.get((task.name, metric), ()))

    def correction(self, contrast: Contrast) -> Correction | None:
        """Return what people's labels make of a contrast; None if there are none, or it is not one with dense."""
        if contrast.against != DENSE:
            return None
        return next(
            (each for each in self.corrections if (each.arm, each.task, each.metric, each.group) == key_of(contrast)),
            None,
        )

    def estimate(self, arm: str, task: str, metric: str, group: str = ALL) -> Estimate | None:
        """Return one row of estimates.parquet; None if it was not measured."""
        return self.estimates.get((arm, task, metric, group))

    def metrics_of(self, task: TaskView) -> Iterator[str]:
        """Yield the metrics that have rows, derived ones after the metric that they are derived from."""
        names = [metric for name, metric in self.rows_of if name == task.name]
        order = {metric.name: number for number, metric in enumerate(task.metrics)}
        yield from sorted(names, key=lambda name: (order.get(base_metric(name), len(order)), base_metric(name) != name))

    @property
    def title(self) -> str:
        """The model's name for readers."""
        model = self.plan.dense.model
        return "SmolLM2-135M-Instruct (demo)" if model == "demo" else model

    @property
    def dense_note(self) -> str | None:
        """The manifest's note on the dense arm's weights; None if it has none."""
        facts = self.manifest.get("arms", {}).get(DENSE, {})
        note = facts.get("model", {}).get("note")
        return None if note is None else str(note)


def ordered_groups(study: StudyView, task: TaskView, metric: str) -> list[str]:
    """Return a metric's groups, attribute by attribute, the attribute that covers most items first."""
    groups = [group for group in study.rows_of.get((task.name, metric), []) if "=" in group]
    covered: Counter[str] = Counter()
    for group in groups:
        estimate = study.estimate(DENSE, task.name, metric, group)
        covered[attribute_of(group)] += estimate.n if estimate else 0
    return sorted(groups, key=lambda group: (-covered[attribute_of(group)], attribute_of(group), group))


def read_beside(sources: Iterable[str], tasks: Iterable[str]) -> tuple[Point, ...]:
    """Return the published numbers of these tasks over all items. Raises as `read_points` does."""
    asked = set(tasks)
    return tuple(
        point for given in sources for point in read_points(given) if point.task in asked and point.group == ALL
    )


def read_study(folder: StudyFolder, beside: Sequence[str] | None = None) -> StudyView:
    """Read a study. Raises StoreError if it has no results yet.

    beside   the sources of published numbers beside it; None: those of its study file
    """
    plan = stored_plan(folder.specification)
    content = manifest.read(folder.manifest)
    by_baseline: dict[str, list[Contrast]] = {DENSE: []}
    rows = folder.read_contrasts()
    check_rows(folder, plan, rows)
    for row in rows:
        by_baseline.setdefault(row.against, []).append(row)
    corrections = read_corrections(folder, plan)
    contrasts, estimates = by_baseline.pop(DENSE), folder.read_estimates()
    return judged(
        StudyView(
            folder=folder,
            plan=plan,
            manifest=content,
            arms=tuple(read_arm(folder, content, number, arm, plan.dense) for number, arm in enumerate(plan.arms)),
            tasks=tuple(
                read_task(folder, content, estimates, contrasts, number, task) for number, task in enumerate(plan.tasks)
            ),
            estimates={(row.arm, row.task, row.metric, row.group): row for row in estimates},
            contrasts=_keyed(detectable_with_labels(contrasts, corrections)),
            corrections=corrections,
            drifts=read_drifts(folder, plan.tasks, frozenset((row.arm, row.task) for row in estimates)),
            hidden={each.arm: each for each in hidden_harms(plan.tasks, [arm.name for arm in plan.arms], contrasts)},
            beside=read_beside(plan.beside if beside is None else beside, (task.name for task in plan.tasks)),
            bands=tuple(folder.read_bands()),
            elsewhere={arm: _keyed(rows) for arm, rows in by_baseline.items()},
        )
    )


def _keyed(rows: Iterable[Contrast]) -> dict[Key, Contrast]:
    return {(row.arm, row.task, row.metric, row.group): row for row in rows}


def judged(study: StudyView) -> StudyView:
    """Return the study with its contrasts' p corrected over what the report shows at once."""
    shown = [row for arm in study.others for _, row in study.pooled(arm)]
    return replace(study, contrasts=judge(study.contrasts, headlines=study.headlines, shown=shown))
