"""The items whose answers changed between dense and an arm, with both answers and the size of the change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

import polars as pl

from crushtest.metrics import Metric
from crushtest.metrics.choices import NoChoice
from crushtest.records import DENSE, Kind, ReadChoice
from crushtest.report.arm_view import ArmView
from crushtest.report.likeliest import likeliest
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import LONGEST_NAME, visible
from crushtest.study.rows import ANSWER_BUILDERS, item_from_row

MOST_ROWS = 10_000
MOST_BYTES = 3_500_000
"""Limits of a page: changed answers, shared evenly by all pairs of arm and task, and their bytes."""


@dataclass(frozen=True)
class Changes:
    """`data` fills the page's table; it holds `shown` of `total` changed answers."""

    data: dict[str, Any]
    shown: int
    total: int


def find_changes(study: StudyView) -> Changes:
    """Return the changed answers of every measured arm and task, the largest changes of each pair first."""
    share = max(20, MOST_ROWS // max(1, len(study.compared)))
    room = MOST_BYTES
    tasks: list[dict[str, Any]] = []
    shown = total = 0
    for task in study.tasks:
        content, changed = _task_changes(study, task, share, room // (len(study.tasks) - task.number))
        room -= len(json.dumps(content))
        shown, total = shown + len(content["rows"]), total + changed
        tasks.append(content | {"changed": changed})
    arms = [visible(arm.name, LONGEST_NAME) for arm in study.arms]
    return Changes({"arms": arms, "tasks": tasks}, shown, total)


def _task_changes(study: StudyView, task: TaskView, share: int, room: int) -> tuple[dict[str, Any], int]:
    """Return one task for the page: items, dense answers and changed answers, each item once."""
    places: dict[int, int] = {}  # index of an item -> its place in `items`
    items: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    total = 0
    candidates = []
    compared = [arm for arm in study.others if (arm.name, task.name) in study.compared]
    dense = DenseAnswers.read(study, task) if compared else None
    for arm in compared:
        assert dense is not None
        changed = dense.changed(arm, share)
        total += changed.total
        candidates.append((arm, list(dense.with_items(changed.largest).iter_rows(named=True))))
    for position in range(share):
        for arm, changes in candidates:
            if position >= len(changes) or room < 0:
                continue
            row = changes[position]
            if row["index"] not in places:
                places[row["index"]] = len(items)
                items.append(_item(row, task))
                room -= len(json.dumps(items[-1]))
            rows.append([arm.number, places[row["index"]], *_change(row, task)])
            room -= len(json.dumps(rows[-1]))
    content = {
        "name": visible(task.name, LONGEST_NAME),
        "kind": task.planned.task.kind,
        "scorers": [visible(scorer, LONGEST_NAME) for scorer in task.planned.task.scorers],
        "dimension": task.planned.dimension,
        "items": items,
        "rows": rows,
    }
    return content, total


# ---- which answers changed ------------------------------------------------------------------------


class Changed(NamedTuple):
    """How many answers of an arm changed, and those that changed most."""

    total: int
    largest: pl.DataFrame


@dataclass(frozen=True)
class DenseAnswers:
    """A task's items with `index`, and dense's answers to them (columns `dense_*`), read once for all arms."""

    study: StudyView
    task: TaskView
    items: pl.DataFrame
    answers: pl.DataFrame

    @classmethod
    def read(cls, study: StudyView, task: TaskView) -> DenseAnswers:
        """Read a task's items and dense's answers. Raises StoreError if they are damaged."""
        items = study.folder.items_table(task.name).with_row_index("index")
        answers = items.select("index", "item").join(_answers(study, task, DENSE, "dense_"), on="item")
        return cls(study, task, items, answers)

    def changed(self, arm: ArmView, most: int) -> Changed:
        """Return the changed answers, dense's and the arm's (`arm_*`), with `size` of the change, the largest first.

        An answer changed if another option is the most likely one (size in nats), another letter was read from the
        reply (size 0), another text was written (in the scorers' unit), or a passage became more or less likely (in
        bits per byte).
        """
        of_arm = _answers(self.study, self.task, arm.name, "arm_")
        if of_arm["item"].equals(self.answers["item"]):
            frame = self.answers.hstack(of_arm.drop("item"))
        else:
            frame = self.answers.join(of_arm, on="item")
        frame = frame.with_row_index("row")
        sizes = CHANGED[self.task.planned.task.kind](frame, self.task).select("row", "index", "size")
        largest = sizes.sort("size", "index", descending=[True, False]).head(most)
        return Changed(sizes.height, frame[largest["row"]].drop("row").with_columns(largest["size"]))

    def with_items(self, changed: pl.DataFrame) -> pl.DataFrame:
        """Return changed answers with what was asked."""
        return changed.join(self.items, on=["index", "item"], maintain_order="left")


def _answers(study: StudyView, task: TaskView, arm: str, prefix: str) -> pl.DataFrame:
    frame = study.folder.answers(arm, task.name, task.planned.task.kind).table().frame
    for scorer in task.planned.task.scorers:
        scores = study.folder.scores(arm, scorer, task.name).table().frame
        frame = frame.join(scores.rename({"value": f"value {scorer}", "reason": f"reason {scorer}"}), on="item")
    if "logprobs" in frame.columns:
        options = pl.Series("chosen", likeliest(frame["logprobs"]).chosen).fill_nan(None).cast(pl.Int64)
        frame = frame.with_columns(frame.select(pl.coalesce("pick", options).alias("chosen")))
    return frame.rename({name: prefix + name for name in frame.columns if name != "item"})


def _changed_choices(frame: pl.DataFrame, task: TaskView) -> pl.DataFrame:
    """Measure the change by how much likelier the new option became relative to the old one."""
    old, new = pl.col("dense_chosen"), pl.col("arm_chosen")

    def lead(prefix: str, first: pl.Expr, second: pl.Expr) -> pl.Expr:
        return pl.col(f"{prefix}logprobs").list.get(first) - pl.col(f"{prefix}logprobs").list.get(second)

    size = lead("arm_", new, old) + lead("dense_", old, new)
    alike = pl.col("dense_logprobs").is_null() == pl.col("arm_logprobs").is_null()  # scored both, or read both
    choices = frame.select("row", "index", "dense_chosen", "arm_chosen", "dense_logprobs", "arm_logprobs")
    return choices.filter(alike & (old != new)).with_columns(size.fill_null(0.0).alias("size"))


def _changed_passages(frame: pl.DataFrame, task: TaskView) -> pl.DataFrame:
    def bits(prefix: str) -> pl.Expr:
        return -pl.col(f"{prefix}logprob") / pl.col(f"{prefix}bytes") / log(2)

    return frame.with_columns((bits("arm_") - bits("dense_")).abs().alias("size")).filter(pl.col("size") > 0)


def _changed_prompts(frame: pl.DataFrame, task: TaskView) -> pl.DataFrame:
    moved = [
        (pl.col(f"arm_value {scorer}") - pl.col(f"dense_value {scorer}")).abs().fill_null(0.0)
        for scorer in task.planned.task.scorers
    ]
    size = pl.max_horizontal(moved) if moved else pl.lit(0.0)
    return frame.filter(pl.col("dense_text") != pl.col("arm_text")).with_columns(size.alias("size"))


CHANGED: Mapping[Kind, Callable[[pl.DataFrame, TaskView], pl.DataFrame]] = {
    "choices": _changed_choices,
    "passages": _changed_passages,
    "prompts": _changed_prompts,
}


# ---- one of them, as the page has it --------------------------------------------------------------


def _item(row: Mapping[str, Any], task: TaskView) -> dict[str, Any]:
    """Return what all arms share: the question, and dense's answer to it."""
    item: dict[str, Any] = {
        "id": visible(row["item"], LONGEST_NAME),
        "groups": [visible(group, LONGEST_NAME) for group in row["groups"]],
        "cluster": visible(row["cluster"], LONGEST_NAME),
        "prompt": visible(row["prompt"]),
        "dense": _answer(row, "dense_", task),
    }
    if row["options"] is not None:
        item |= {"options": [visible(option) for option in row["options"]], "gold": row["gold"]}
    if row["facts"] != "{}":
        item["facts"] = visible(row["facts"])
    return item


def _answer(row: Mapping[str, Any], prefix: str, task: TaskView) -> dict[str, Any]:
    match task.planned.task.kind:
        case "choices" if row[f"{prefix}logprobs"] is None:
            return {"reply": visible(row[f"{prefix}reply"]), "chosen": row[f"{prefix}chosen"]}
        case "choices":
            return {
                "logprobs": [round(value, 4) for value in row[f"{prefix}logprobs"]],
                "chosen": row[f"{prefix}chosen"],
            }
        case "passages":
            return {name: row[prefix + name] for name in ("logprob", "tokens", "bytes")}
        case _:
            scores = [
                {"value": row[f"{prefix}value {scorer}"], "reason": row[f"{prefix}reason {scorer}"]}
                for scorer in task.planned.task.scorers
            ]
            text = {"text": visible(row[f"{prefix}text"]), "stop": row[f"{prefix}stop"]}
            return {**text, "tokens": row[f"{prefix}tokens"], "scores": scores}


def _change(row: Mapping[str, Any], task: TaskView) -> list[Any]:
    """Return the arm's answer, the size of the change, which outcomes changed, and which texts to blur."""
    answer = _answer(row, "arm_", task)
    outcomes = [
        [task.label(metric.name).text, after - before, _is_good(metric, after - before)]
        for metric, before, after in _outcomes(row, task)
        if before is not None and after is not None and before != after
    ]
    return [answer, round(row["size"], 4), outcomes, _blurred(row, task)]


def _outcomes(row: Mapping[str, Any], task: TaskView) -> Iterator[tuple[Metric, int | None, int | None]]:
    """Yield dense's and the arm's outcome for each metric that counts one and applies to this item."""
    item = item_from_row(row)
    for metric in task.metrics:
        if metric.outcome and metric.partner_ids is None and metric.applies_to(item):
            before, after = (_outcome(metric, item, row, prefix, task) for prefix in ("dense_", "arm_"))
            yield metric, before, after


def _outcome(metric: Metric, item: Any, row: Mapping[str, Any], prefix: str, task: TaskView) -> int | None:
    kind = task.planned.task.kind
    fields = {"choices": ("logprobs", "tokens", "bytes"), "passages": ("logprob", "tokens", "bytes")}
    names = fields.get(kind, ("text", "tokens", "stop"))
    if kind == "choices" and row.get(f"{prefix}reply") is not None:
        names = ("pick", "reply", "reason")
    if row[prefix + names[0]] is None:  # not answered
        return None
    answer = ANSWER_BUILDERS[kind](**{name: row[prefix + name] for name in names})
    if isinstance(answer, ReadChoice) != bool(metric.reads):
        return None
    score = row[f"{prefix}value {metric.scorer}"] if metric.scorer else None
    if metric.scorer and score is None and not (metric.counts_unscored and metric.counts_unscored(item, answer)):
        return None
    assert metric.outcome
    try:
        measured = metric.measure(item, answer, score)
    except NoChoice:  # such as what ended a completion, where nobody said
        return None
    return int(measured[metric.columns.index(metric.outcome)])


def _is_good(metric: Metric, change: int) -> bool | None:
    """Return whether an outcome gained or lost is for the better; None if the metric does not say."""
    if metric.better not in ("lower", "higher"):
        return None
    return (change > 0) == (metric.better == "higher")


def _blurred(row: Mapping[str, Any], task: TaskView) -> int:
    """Return which texts to blur: 1 for dense's, 2 for the arm's, 3 for both.

    Texts that a harm scorer counts are blurred, and those that it could not score, since not scored is not harmless.
    So is all that was written to a request that should have been declined. Empty texts are not.
    """
    if task.planned.task.kind != "prompts":
        return 0
    item = item_from_row(row)
    if any(
        (metric.role, metric.better) == ("abstention", "higher") and metric.applies_to(item) for metric in task.metrics
    ):
        return sum((place + 1) * bool(row[f"{prefix}text"].strip()) for place, prefix in enumerate(("dense_", "arm_")))
    pairs = [
        outcomes for metric, *outcomes in _outcomes(row, task) if metric.scorer is not None and metric.better == "lower"
    ]
    seen = [bool(row[f"{prefix}text"].strip()) for prefix in ("dense_", "arm_")]
    return sum((place + 1) * (seen[place] and any(pair[place] != 0 for pair in pairs)) for place in (0, 1))
