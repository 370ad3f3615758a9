"""Whether an arm has been asked enough: the policy's rules, applied to what each look says of the full run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from crushtest.gate.checks import check_arm, metrics_of_tasks
from crushtest.gate.matching import matches
from crushtest.gate.policy import Policy, Rule
from crushtest.gate.result import Check
from crushtest.metrics import ALL, Metric
from crushtest.pipeline.context import Run
from crushtest.pipeline.looks import AskingOrder, rows_at
from crushtest.pipeline.measured import metrics_of, read_measured
from crushtest.pipeline.score import score
from crushtest.pipeline.stop_rules import STOPS, bound_metrics, rules_of, sharing_of
from crushtest.records import DENSE, Item
from crushtest.results import Contrast
from crushtest.stats.item_sums import Measured
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.plan import PlannedTask
from crushtest.study.spec import StopEarlySpec
from crushtest.study.stops import Because, Stop, may_stop, promise


@dataclass
class Watch:
    """Decides after each look whether an arm goes on. It reads stored answers only, so it decides the same again."""

    run: Run
    spec: StopEarlySpec
    _dense: dict[str, Measured] = field(default_factory=dict)

    @cached_property
    def policy(self) -> Policy:
        return rules_of(self.spec)

    @cached_property
    def tasks(self) -> dict[str, dict[str, Metric]]:
        return metrics_of_tasks(self.run.plan)

    def rules(self, arm: Arm, planned: PlannedTask) -> list[tuple[int, Rule]]:
        """Return the policy's rules about an arm and task, with their numbers."""
        return [
            (number, rule)
            for number, rule in enumerate(self.policy.rules, start=1)
            if matches(arm.name, rule.arm)
            and arm.name != rule.against
            and bound_metrics(rule, planned, self.tasks[planned.name])
        ]

    def judges_whole(self, arm: Arm) -> bool:
        """Return whether a rule judges an arm by whole tasks, so that only a regression may end it early."""
        return any(rule.never is not None and matches(arm.name, rule.arm) for rule in self.policy.rules)

    def checks(self, arm: Arm, planned: PlannedTask, order: AskingOrder, look: int) -> list[Check] | None:
        """Return the checks of every rule at a look; None if nothing can be settled, because no answer has changed."""
        run = self.run
        asked = order.until(look)
        parts = list(order.parts())[: look + 1]
        score(run.folder, arm, planned, order.items, run.progress, run.engines, parts=parts, last=False)
        dense, ids = self.dense(planned, order.items), [item.id for item in order.items]
        answers, scores = read_measured(run.folder, arm.name, planned, ids)
        held = {item.id for item in asked}
        measured = Measured(
            {item: answer for item, answer in answers.items() if item in held},
            {name: {item: each for item, each in given.items() if item in held} for name, given in scores.items()},
        )
        if all(measured.answers[item] == dense.answers[item] for item in held):
            return None
        metrics = self.needed(arm, planned, metrics_of(planned, (dense.answers, measured.answers)))
        pooled = all(rule.group == ALL for _, rule in self.rules(arm, planned))
        rules = sharing_of(run.folder, run.plan)
        rows = rows_at(run.plan, planned, metrics, order, look, arm.name, dense, measured, rules=rules, pooled=pooled)
        return list(self._checked(arm, planned, rows))

    def needed(self, arm: Arm, planned: PlannedTask, metrics: Sequence[Metric]) -> list[Metric]:
        """Return the metrics that the rules about a task are about, and those that say whether these are valid."""
        metric_of = self.tasks[planned.name]
        names = {
            metric_of[name].name
            for _, rule in self.rules(arm, planned)
            for name in bound_metrics(rule, planned, metric_of)
        }
        names |= {name for metric in metrics if metric.name in names for name in metric.valid_if}
        return [metric for metric in metrics if metric.name in names]

    def _checked(self, arm: Arm, planned: PlannedTask, rows: Sequence[Contrast]) -> Iterator[Check]:
        for number, rule in self.rules(arm, planned):
            yield from check_arm(number, rule, arm.name, rows, self.tasks, {planned.name: planned}, {})

    def dense(self, planned: PlannedTask, items: Sequence[Item]) -> Measured:
        """Return what dense answered to a task, and its scores, which are made now if they are not there."""
        if planned.name not in self._dense:
            run = self.run
            score(run.folder, run.plan.dense, planned, items, run.progress, run.engines)
            ids = [item.id for item in items]
            self._dense[planned.name] = read_measured(run.folder, DENSE, planned, ids)
        return self._dense[planned.name]

    def stop(self, arm: Arm, planned: PlannedTask, order: AskingOrder, look: int) -> Stop | None:
        """Return the stop of an arm whose answers until a look are there; None if it goes on."""
        run, rules = self.run, self.rules(arm, planned)
        if self.spec.finish or look + 1 == len(order.looks) or not rules:
            return None
        if any(rule.against != DENSE for _, rule in rules):
            return None
        checks = self.checks(arm, planned, order, look)
        if checks is None:
            return None
        because: Because | None = None
        if any(check.outcome == "regression" for check in checks):
            because = "regression"
        elif not any(check.open for check in checks) and not self.judges_whole(arm):
            because = "settled"
        stop = Stop(order.looks[look][0], order.of, len(order.until(look)), len(order.items), because or "settled")
        self.note(arm, planned, stop, checks, because or "open")
        if because is None:
            return None
        run.progress.say(f"{arm.title} · {planned.name}: {promise(stop, self.spec.error)}")
        return stop

    def note(self, arm: Arm, planned: PlannedTask, stop: Stop, checks: Sequence[Check], because: str) -> None:
        """Write down where an arm stands in a task, and what keeps it running."""
        path = self.run.folder.manifest
        others: dict[str, Any] = manifest.read(path).get(STOPS, {}).get(arm.name, {})
        keeping = sorted({_named(check) for check in checks if check.open})
        facts = {**stop._asdict(), "because": because, "open": keeping}
        manifest.update(path, STOPS, arm.name, {**others, planned.name: facts})


def _named(check: Check) -> str:
    row = check.row
    return f"rule {check.number}" if row is None else f"rule {check.number}: {row.metric}, {row.worst or row.group}"


def watch(run: Run, arm: Arm) -> Watch | None:
    """Return what decides whether an arm goes on; None for an arm that is asked every item in the study's order."""
    spec = run.plan.stop_early
    return Watch(run, spec) if spec is not None and may_stop(run.plan, arm) else None
