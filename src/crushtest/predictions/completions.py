"""Read completions made elsewhere by item or prompt, score them, and measure them as the task measures its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crushtest.engines.load import only_named
from crushtest.errors import UsageError
from crushtest.metrics import ALL, Metric
from crushtest.predictions.item_lines import write_items
from crushtest.predictions.point_estimates import PointEstimate, point_estimates
from crushtest.predictions.reading import LONGEST_ID, Missing, Problems, read_lines, refuse
from crushtest.printing import quoted
from crushtest.records import UNKNOWN_STOP, Completion, Item, Prompt, Score
from crushtest.registry import TASKS
from crushtest.scorers.calling import call_scorer, exchange_of, facts_of, needs_dense
from crushtest.tasks.base import Task
from crushtest.tasks.shared.conversations import turns_before

MOST = 0.5
"""Beyond this share of completions without language or score, the numbers come with a doubt."""


def score_completions(
    task: str,
    path: Path,
    *,
    scorers: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    allow_partial: bool = False,
    items_to: Path | None = None,
) -> dict[str, Any]:
    """Return `{"task", "items", "missing", "problems", "doubt", "scorers", "metrics"}` for a file of completions.

    Their values are those of `score_predictions`. `doubt` says if most completions are no language or have no score.

    A line is `{"item": ID, "text": COMPLETION}`, or `{"prompt": TEXT, "text": COMPLETION}` if only one item of the
    task has that prompt; `"text": null` means that there was no answer. `scorers` replace the task's own. `options` are
    the task's (which part of a set, how many samples). `items_to` names a file for what each item was given
    (`write_items`).

    Items that the file does not name are not counted but listed in `missing` (`{"count", "of", "first"}`, or None). An
    item without an answer counts as not scored. Perplexity under the dense model is left out, since there is no dense
    model. Raises UsageError for a task that does not ask for completions, and DataError for a file that cannot be
    read, is empty or, unless `allow_partial`, has a line that cannot be scored.
    """
    if items_to is not None and items_to.resolve() == Path(path).resolve():
        raise UsageError(f"--items {quoted(str(items_to))} is the file of completions; name another one")
    built = _build(task, scorers, dict(options or {}))
    without_model = [scorer for scorer in built.scorers if needs_dense(scorer) != "model"]
    facts = {scorer: facts_of(scorer) for scorer in without_model}
    problems = Problems()
    task_items = built.sample_items(built.default_limit, seed=0)
    completed = read_texts(task_items, Path(path), problems)
    refuse("completions", path, problems, nothing=not completed, allow_partial=allow_partial)
    items = [item for item, _ in completed]
    answers = {item.id: Completion(text, 0, UNKNOWN_STOP) for item, text in completed if text is not None}
    scores = {scorer: _scores(scorer, items, answers) for scorer in facts}
    if items_to is not None:
        write_items(items_to, built, items, answers, scores)
    metrics = [metric for metric in built.metrics if metric.scorer is None or metric.scorer in facts]
    rows = point_estimates(metrics, items, answers, scores)
    ids = {item.id for item in items}
    missing = Missing(tuple(item.id for item in task_items if item.id not in ids), len(task_items))
    return {
        "task": task,
        "items": {"answered": len(answers), "no_answer": len(items) - len(answers), **problems.counts()},
        "missing": missing.to_json(),
        "problems": str(problems) or None,
        "doubt": _doubt(built, metrics, rows),
        "scorers": facts,
        "metrics": [row._asdict() for row in rows],
    }


def _doubt(task: Task, metrics: Sequence[Metric], rows: Sequence[PointEstimate]) -> str | None:
    """Say so if most completions are incoherent or without a score, so that the other numbers say little; else None.

    The shares of one task's measures of coherence add up.
    """
    pooled = {row.metric: row for row in rows if row.group == ALL}
    headlines = {metric.name for metric in task.headline_metrics}
    incoherent = unanswered = unscored = 0.0
    for metric in metrics:
        row = pooled.get(metric.name)
        is_share = metric.role == "coherence" and metric.unit == "rate"
        if row is None or not row.n + row.n_unscored or not (is_share or metric.name in headlines):
            continue
        without = row.n_unscored / (row.n + row.n_unscored)
        unscored = max(unscored, without)
        if is_share:
            unanswered = max(unanswered, without)
            incoherent += (row.value or 0.0) * (1 - without)
    share = min(max(unscored, incoherent + unanswered), 1.0)
    return f"{share:.0%} of the completions are incoherent or without a score" if share > MOST else None


def _build(task: str, scorers: Sequence[str], options: dict[str, Any]) -> Task:
    entry = TASKS.get(task)
    if scorers and "scorers" not in entry.options:
        raise UsageError(f"task {task!r}: its scorers are its own; leave --scorer out")
    if scorers:
        options["scorers"] = tuple(scorers)
    built: Task = entry.function(**entry.bind(options))
    if built.kind != "prompts":
        raise UsageError(f"task {task!r}: it has no completions to score (it is a task of {built.kind})")
    return built


def _scores(scorer: str, items: Sequence[Item], answers: Mapping[str, Completion]) -> dict[str, Score]:
    by_id = {item.id: item for item in items}
    answered = [item for item in items if item.id in answers]
    complete = [item for item in answered if all(turn.id in answers for turn in turns_before(item, by_id))]
    exchanges = [exchange_of(item, by_id, answers) for item in complete]
    scored = zip(complete, call_scorer(scorer, exchanges, only_named), strict=True)
    scores = {item.id: Score(None, "a turn before it was not answered") for item in answered}
    return scores | {item.id: score for item, score in scored}


def read_texts(items: Sequence[Item], path: Path, problems: Problems) -> list[tuple[Item, str | None]]:
    """Return the items that a file answers, in its order, with their texts."""
    example = {"item": items[0].id, "text": "what the model wrote"}
    problems.example = json.dumps(example, ensure_ascii=False) + ' (or "prompt": its text, instead of item)'
    by_id = {item.id: item for item in items}
    prompts = Counter(item.request.text for item in items if isinstance(item.request, Prompt))
    by_prompt = {
        item.request.text: item
        for item in items
        if isinstance(item.request, Prompt) and prompts[item.request.text] == 1
    }
    completed: list[tuple[Item, str | None]] = []
    seen: set[str] = set()
    for number, line in read_lines(path, problems):
        key = "item" if "item" in line else "prompt"
        name, text = line.get(key), line.get("text")
        item = (by_id if key == "item" else by_prompt).get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or "text" not in line or not isinstance(text, str | None):
            problems.not_parsed.append(f"line {number} (it needs item or prompt, and text)")
        elif item is None:
            several = " more than once in the task" if key == "prompt" and prompts[name] > 1 else ""
            problems.unknown.append(f"{quoted(name, LONGEST_ID)}{several} (line {number})")
        elif item.id in seen:
            problems.duplicate.append(f"{quoted(name, LONGEST_ID)} (line {number})")
        else:
            seen.add(item.id)
            completed.append((item, text))
    return completed
