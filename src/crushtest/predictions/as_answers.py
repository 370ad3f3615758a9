"""Answers made elsewhere as an arm of a study gives them: one for every item, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crushtest.errors import UsageError
from crushtest.predictions.choices import read_choices
from crushtest.predictions.completions import read_texts
from crushtest.predictions.reading import Missing, Problems, refuse
from crushtest.records import Answer, ChoiceScores, Completion, Item, ReadChoice, Unanswered
from crushtest.tasks.base import Task

NO_LINE = "the file has no line for it"
NULL = "null in the file: no answer"


class Given(NamedTuple):
    """The answers of a file, one for every item, and what was wrong with it.

    problems  the lines that were left out; the empty text if there are none
    """

    answers: dict[str, Answer]
    missing: Missing
    problems: str

    @property
    def are_picks(self) -> bool:
        """Whether the lines name options, without scores."""
        return any(isinstance(answer, ReadChoice) for answer in self.answers.values())


def answers_from(name: str, task: Task, items: Sequence[Item], path: Path, *, allow_partial: bool = False) -> Given:
    """Read answers to these items of a task. An item without a line, or with null, has no answer, for that reason.

    A line that names an option, without scores, becomes an answer of which only the choice is known: it counts in the
    metrics of choices read from replies (`accuracy_read`), in none of log-likelihoods.

    Raises DataError for a file that cannot be read, is empty or, unless `allow_partial`, has a line that cannot be
    used; UsageError for a task whose metrics need more than the lines hold.
    """
    problems = Problems()
    answers = _choices(name, task, items, path, problems) if task.kind == "choices" else _texts(items, path, problems)
    refuse("answers", path, problems, nothing=not answers, allow_partial=allow_partial)
    lacking = tuple(item.id for item in items if item.id not in answers)
    spoken = any(isinstance(answer, ReadChoice) for answer in answers.values())
    for item in lacking:
        answers[item] = ReadChoice(None, "", NO_LINE) if spoken else Unanswered(NO_LINE)
    return Given(answers, Missing(lacking, len(items)), str(problems))


def _choices(name: str, task: Task, items: Sequence[Item], path: Path, problems: Problems) -> dict[str, Answer]:
    predicted = read_choices(items, path, problems)
    missing = set(predicted.missing.items)
    lines = [item.id for item in predicted.items if item.id not in missing]
    scored = next((item for item in lines if item in predicted.answers and item not in predicted.picked), None)
    picked = next((item for item in lines if item in predicted.answers and item in predicted.picked), None)
    if scored is not None and picked is not None:
        raise UsageError(
            f"answers {str(path)!r}: item {picked!r} has an answer alone and item {scored!r} has scores; give all of a "
            "file's items scores, or none, because the two are not compared"
        )
    if picked is None:
        return {item: predicted.answers.get(item, Unanswered(NULL)) for item in lines}
    if not any(metric.from_pick for metric in task.metrics):
        raise UsageError(
            f"answers {str(path)!r}: task {name!r} compares log-likelihoods; give `scores`, one per option, and no "
            "`answer`"
        )
    return {item: _pick(predicted.answers.get(item)) for item in lines}


def _pick(answer: Answer | None) -> ReadChoice:
    if not isinstance(answer, ChoiceScores):
        return ReadChoice(None, "", NULL)
    return ReadChoice(answer.logprobs.index(max(answer.logprobs)), "")


def _texts(items: Sequence[Item], path: Path, problems: Problems) -> dict[str, Answer]:
    return {
        item.id: Unanswered(NULL) if text is None else Completion(text, 0, "unknown")
        for item, text in read_texts(items, path, problems)
    }
