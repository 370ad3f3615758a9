"""Completions made elsewhere: read by item or prompt, scored by any scorer, measured as a task measures its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crushtest.conversations import turns_before
from crushtest.engines.load import only_named
from crushtest.errors import UsageError
from crushtest.predictions.lines import Missing, Problems, read_lines, refuse
from crushtest.predictions.values import values
from crushtest.records import Completion, Item, Prompt, Score
from crushtest.registry import TASKS
from crushtest.scorers.calling import call_scorer, exchange_of, facts_of, needs_dense
from crushtest.tasks.base import Task


def score_completions(
    task: str,
    path: Path,
    *,
    scorers: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    allow_partial: bool = False,
) -> dict[str, Any]:
    """`{"task", "items", "missing", "problems", "scorers", "metrics"}` of a file of completions.

    They are as `score_predictions` gives them.

    A line is `{"item": ID, "text": COMPLETION}`, or `{"prompt": TEXT, "text": COMPLETION}` where no two items of the
    task have that prompt; `"text": null` says that there was no answer. `scorers` are used in place of the task's own,
    `options` are the task's (which part of a set, how many samples).

    Items that the file does not name do not count, they are in `missing` (`{"count", "of", "first"}`, or None); one
    without an answer counts as not scored. The perplexity under
    the dense model is left out: there is none here. Raises UsageError for a task that does not ask for completions,
    DataError for a file that cannot be read, is empty or, unless `allow_partial`, has a line that cannot be scored.
    """
    built = _build(task, scorers, dict(options or {}))
    facts = {scorer: facts_of(scorer) for scorer in _used(built)}
    problems = Problems()
    asked = built.sample_items(built.default_limit, seed=0)
    found = _read(asked, Path(path), problems)
    refuse("completions", path, problems, nothing=not found, allow_partial=allow_partial)
    items = [item for item, _ in found]
    answers = {item.id: Completion(text, 0, "unknown") for item, text in found if text is not None}
    scores = {scorer: _scores(scorer, items, answers) for scorer in facts}
    metrics = [metric for metric in built.metrics if metric.scorer is None or metric.scorer in facts]
    rows = values(metrics, items, answers, scores)
    return {
        "task": task,
        "items": {"answered": len(answers), "no_answer": len(items) - len(answers), **problems.counts()},
        "missing": _missing(asked, items).to_json(),
        "problems": str(problems) or None,
        "scorers": facts,
        "metrics": [row._asdict() for row in rows],
    }


def _build(task: str, scorers: Sequence[str], options: dict[str, Any]) -> Task:
    entry = TASKS.get(task)
    if scorers:
        options["scorers"] = tuple(scorers)
    built: Task = entry.function(**entry.bind(options))
    if built.kind != "prompts":
        raise UsageError(f"task {task!r}: it has no completions to score (it is one of {built.kind})")
    return built


def _used(task: Task) -> list[str]:
    """The scorers that can be used where there is no dense model."""
    return [scorer for scorer in task.scorers if needs_dense(scorer) != "model"]


def _scores(scorer: str, items: Sequence[Item], answers: Mapping[str, Completion]) -> dict[str, Score]:
    by_id = {item.id: item for item in items}
    answered = [item for item in items if item.id in answers]
    whole = [item for item in answered if all(turn.id in answers for turn in turns_before(item, by_id))]
    exchanges = [exchange_of(item, by_id, answers) for item in whole]
    found = zip(whole, call_scorer(scorer, exchanges, only_named), strict=True)
    scores = {item.id: Score(None, "a turn before it was not answered") for item in answered}
    return scores | {item.id: score for item, score in found}


def _missing(asked: Sequence[Item], found: Sequence[Item]) -> Missing:
    named = {item.id for item in found}
    return Missing(tuple(item.id for item in asked if item.id not in named), len(asked))


def _read(items: Sequence[Item], path: Path, problems: Problems) -> list[tuple[Item, str | None]]:
    """The items that a file answers, in its order, with their texts."""
    example = {"item": items[0].id, "text": "what the model wrote"}
    problems.example = json.dumps(example, ensure_ascii=False) + ' (or "prompt": its text, in place of item)'
    by_id = {item.id: item for item in items}
    prompts = Counter(item.request.text for item in items if isinstance(item.request, Prompt))
    by_prompt = {
        item.request.text: item
        for item in items
        if isinstance(item.request, Prompt) and prompts[item.request.text] == 1
    }
    found: list[tuple[Item, str | None]] = []
    seen: set[str] = set()
    for number, line in read_lines(path, problems):
        key = "item" if "item" in line else "prompt"
        name, text = line.get(key), line.get("text")
        item = (by_id if key == "item" else by_prompt).get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or "text" not in line or not isinstance(text, str | None):
            problems.not_parsed.append(f"line {number} (it needs item or prompt, and text)")
        elif item is None:
            several = " more than once in the task" if key == "prompt" and prompts[name] > 1 else ""
            problems.unknown.append(f"{name[:60]!r}{several} (line {number})")
        elif item.id in seen:
            problems.duplicate.append(f"{name[:60]!r} (line {number})")
        else:
            seen.add(item.id)
            found.append((item, text))
    return found
