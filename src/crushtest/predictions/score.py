"""`crushtest score`: compute the metrics of answers made elsewhere. No model is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

from crushtest.errors import CrushtestError, UsageError
from crushtest.metrics import TIED
from crushtest.predictions.choices import Predicted, read_choices
from crushtest.predictions.point_estimates import PointEstimate, point_estimates
from crushtest.predictions.reading import Problems, refuse
from crushtest.registry import TASKS
from crushtest.stats.item_sums import measure_sums
from crushtest.tasks.base import Task


def score_predictions(
    task: str, path: Path, *, options: Mapping[str, Any] | None = None, allow_partial: bool = False
) -> dict[str, Any]:
    """Return `{"task", "items", "missing", "problems", "metrics"}` for a file of predictions.

    metrics   `{"metric", "group", "value", "n", "n_unscored", "reason"}`: group is a group's name (`Age`, `Christian`)
              or `all`. n counts the answered items that the metric applies to; n_unscored counts those it applies to
              that have no answer or no line
    items     the number of items that were answered, were tied (several options lead by the rule of the task's
              headline metric or, where that is not about the item, of the first that is), or had no answer (null), and
              of lines that did not parse or named an unknown or repeated item
    missing   `{"count", "of", "first"}` for items without a line, of all that the file is about: the whole task, or
              what the task's reader takes it to be about. None if no item is missing, or if the reader does not say (a
              task that cannot be answered whole, a log that holds its items)
    problems  the lines that could not be scored; None if there are none

    Raises UsageError for a task without such predictions, and DataError for a file that cannot be read, is empty or,
    unless `allow_partial`, has a line that cannot be scored or lacks an item of a task that is answered whole. With
    `allow_partial` such lines are left out and named in `problems`.

    options   the task's own. With any, a file is about all items that they leave, and has a line for each
    """
    problems = Problems()
    built, predicted = _read(task, Path(path), problems, dict(options or {}))
    refuse(
        "predictions",
        path,
        problems,
        nothing=len(predicted.items) == len(predicted.missing.items),
        allow_partial=allow_partial,
        lacking="" if predicted.partial else str(predicted.missing),
    )
    tied = _tied(built, predicted)
    rows = point_estimates(built.metrics, predicted.items, predicted.answers)
    return {
        "task": task,
        "items": {
            "answered": len(predicted.answers) - tied,
            "tied": tied,
            "no_answer": len(predicted.items) - len(predicted.answers) - len(predicted.missing.items),
            **problems.counts(),
        },
        "missing": predicted.missing.to_json(),
        "problems": str(problems) or None,
        "metrics": [row._asdict() for row in _presented(rows)],
    }


def _read(task: str, path: Path, problems: Problems, options: dict[str, Any]) -> tuple[Task, Predicted]:
    entry = TASKS.get(task)
    built: Task = entry.function(**entry.bind(options))
    if entry.about.predictions and not options:
        predicted = _reader(task, entry.about.predictions)(path, problems)
        return replace(built, metrics=predicted.metrics or built.metrics), predicted
    if built.kind != "choices":
        instead = "; give its texts as --completions" if built.kind == "prompts" else ""
        raise UsageError(
            f"task {task!r}: predictions are scored for tasks of choices only (it has {built.kind}{instead})"
        )
    return built, read_choices(built.items(), path, problems)


def _tied(task: Task, predicted: Predicted) -> int:
    """Return how many answers are tied by the rule of the headline metric, or of the first about their item."""
    undecided, tied = np.ones(len(predicted.items), bool), 0
    for metric in (task.headline_metric, *task.metrics):
        sums = measure_sums(metric, predicted.items, predicted.answers, {})
        tied += sum(sums.reasons[row] == TIED for row in np.flatnonzero(undecided & sums.applies).tolist())
        undecided &= ~sums.applies
    return tied


def _reader(task: str, name: str) -> Callable[[Path, Problems], Predicted]:
    try:
        reader: Callable[[Path, Problems], Predicted] = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CrushtestError(f"task {task!r}: its reader of predictions {name!r} cannot be loaded: {error}") from error
    return reader


def _presented(rows: Sequence[PointEstimate]) -> list[PointEstimate]:
    """Rename groups to what readers of the papers expect: `Age` for `category=Age`.

    A name that two attributes share keeps its attribute (Jewish is a religion and an ethnicity).
    """
    groups = {row.group: row.group.partition("=")[2] or row.group for row in rows}
    shared = {name for name, count in Counter(groups.values()).items() if count > 1}
    return [row if groups[row.group] in shared else row._replace(group=groups[row.group]) for row in rows]
