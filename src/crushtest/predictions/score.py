"""`crushtest score`: the metrics of answers that were made elsewhere. No model is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crushtest.errors import DataError, UsageError
from crushtest.metrics import Metric
from crushtest.predictions import bbq as bbq_predictions
from crushtest.predictions import unqover as unqover_predictions
from crushtest.predictions.choices import Predicted, read_choice
from crushtest.predictions.lines import NotParsed, Problems, read_lines
from crushtest.predictions.values import Value, values
from crushtest.records import Item, Task
from crushtest.registry import TASKS
from crushtest.tasks.unqover import unqover

STAND_IN = "text=stand-in"


def score_predictions(task: str, path: Path, *, allow_partial: bool = False) -> dict[str, Any]:
    """`{"task", "items", "problems", "notes", "metrics"}` of a file of predictions.

    metrics   `{"metric", "group", "value", "n", "n_unscored", "reason"}`: group is a group's name (`Age`, `Christian`)
              or `all`; n counts the items that were answered and that the metric is about
    items     how many were answered, had no answer (null), and how many lines did not parse, named an unknown item, or
              one that came before
    problems  the lines that could not be scored, named; None where there are none

    Items that a file does not name do not count. Raises UsageError for a task without such predictions, DataError for
    a file that cannot be read, is empty or, unless `allow_partial`, has a line that cannot be scored; with it, such
    lines are left out and named in `problems`.
    """
    problems = Problems()
    metrics, predicted = _read(task, Path(path), problems)
    if str(problems) and not allow_partial:
        raise DataError(f"predictions {str(path)!r}: {problems} (--allow-partial scores the others)")
    if not predicted.items:
        raise DataError(
            f"predictions {str(path)!r}: no line that can be scored" + (f" ({problems})" if str(problems) else "")
        )
    rows = values(metrics, predicted.items, predicted.answers)
    return {
        "task": task,
        "items": {
            "answered": len(predicted.answers),
            "no_answer": len(predicted.items) - len(predicted.answers),
            **problems.counts(),
        },
        "problems": str(problems) or None,
        "notes": _notes(predicted.items),
        "metrics": [row._asdict() for row in _presented(rows)],
    }


def _read(task: str, path: Path, problems: Problems) -> tuple[Sequence[Metric], Predicted]:
    entry = TASKS.get(task)
    if task == "bbq":
        return entry.function(**entry.bind({})).metrics, bbq_predictions.read(path, problems)
    if task == "unqover":
        found = unqover_predictions.read(path, problems)
        made = unqover(categories=tuple(found.categories) or ("religion",), detail=True)
        return [_by_category_too(metric) for metric in made.metrics], found
    built: Task = entry.function(**entry.bind({}))
    if built.kind != "choices":
        raise UsageError(f"task {task!r}: predictions are scored for tasks of choices only (it has {built.kind})")
    return built.metrics, _read_choices(built, path, problems)


def _by_category_too(metric: Metric) -> Metric:
    """The metric with its number for `all` also under the only category there is."""
    return replace(
        metric,
        groups=lambda group: metric.groups(group) or (metric.groups("all") and group.startswith("category=")),
    )


def _read_choices(task: Task, path: Path, problems: Problems) -> Predicted:
    """Predictions for the items of any task of choices, by their ids."""
    known = {item.id: item for item in task.items()}
    predicted = Predicted()
    seen: set[str] = set()
    for number, line in read_lines(path, problems):
        name = line.get("item")
        if not isinstance(name, str):
            problems.not_parsed.append(f"line {number} (no item)")
        elif name not in known:
            problems.unknown.append(f"{name!r} (line {number})")
        elif name in seen:
            problems.duplicate.append(f"{name!r} (line {number})")
        else:
            try:
                predicted.add(known[name], read_choice(known[name], line))
                seen.add(name)
            except NotParsed as error:
                problems.not_parsed.append(f"line {number} ({error})")
    return predicted


def _presented(rows: Sequence[Value]) -> list[Value]:
    """Rows under the names that a reader of the papers expects: `Age` for `category=Age`, `eta` of a subject.

    A name that two attributes share (Jewish, a religion and an ethnicity) keeps its attribute.
    """
    groups = {row.group: row.group.partition("=")[2] or row.group for row in rows if not row.group.startswith("text=")}
    shared = {name for name, count in Counter(groups.values()).items() if count > 1}
    return [
        row._replace(metric=row.metric.replace("subject_eta", "eta"), group=row.group if name in shared else name)
        for row in rows
        if (name := groups.get(row.group)) is not None
    ]


def _notes(items: Sequence[Item]) -> list[str]:
    """What a reader must know of the items: which are not the official text."""
    found = sorted({item.id.partition("/")[0] for item in items if STAND_IN in item.groups})
    return [f"{category}: items of a stand-in, which answers to the official text do not fit" for category in found]
