"""What each item was given: a line per item of a file of completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crushtest.files.atomic import replacing
from crushtest.records import Completion, Item, Score
from crushtest.tasks.base import UNSCORED, Task

NO_ANSWER = Score(None, "no answer")


def write_items(
    path: Path,
    task: Task,
    items: Sequence[Item],
    answers: Mapping[str, Completion],
    scores: Mapping[str, Mapping[str, Score]],
) -> None:
    """Write a line of JSON per item, in their order, and put the file into its place when it is whole.

    A line is `{"item", "outcome", "reason", "scores", "reasons"}`: each scorer's number, or null, and the reasons of
    those that have none. `outcome` and its `reason` are there if the task has outcomes. An item without an answer has
    no scores, and its outcome is `unscored`.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            given = {scorer: of_items.get(item.id, NO_ANSWER) for scorer, of_items in scores.items()}
            file.write(json.dumps(_line(task, item, answers.get(item.id), given), ensure_ascii=False) + "\n")


def _line(task: Task, item: Item, answer: Completion | None, scores: Mapping[str, Score]) -> dict[str, Any]:
    line: dict[str, Any] = {"item": item.id}
    if task.outcome is not None:
        word, reason = (UNSCORED, NO_ANSWER.reason) if answer is None else task.outcome(item, answer, scores)
        line |= {"outcome": word, "reason": reason}
    line["scores"] = {scorer: score.value for scorer, score in scores.items()}
    line["reasons"] = {scorer: score.reason for scorer, score in scores.items() if score.reason is not None}
    return line
