"""The command that scores answers made elsewhere: score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.output import AsJson, print_line, print_table
from crushtest.errors import UsageError

Partial = Annotated[
    bool,
    typer.Option(
        "--allow-partial",
        help="Score what can be scored if some lines cannot, or if a task of choices lacks items. Both are still named "
        "and counted.",
    ),
]


Predictions = Annotated[Path | None, typer.Option(help="JSONL of answers to choices, one item per line.")]
Completions = Annotated[Path | None, typer.Option(help="JSONL of texts that a model wrote, one per line.")]


def score(
    task: Annotated[
        str, typer.Argument(metavar="TASK[:OPTION=VALUE,...]", help="The task that was answered: bbq, xstest, ...")
    ],
    predictions: Predictions = None,
    completions: Completions = None,
    scorer: Annotated[list[str] | None, typer.Option(help="Scorers of completions. Default: the task's own.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="Also write what each item of --completions was given: JSONL, a line per item.")
    ] = None,
    allow_partial: Partial = False,
    json: AsJson = False,
) -> None:
    """Score answers made elsewhere; no model is needed.

    A line of predictions for any task of choices (answer: the option's index; null: no answer):

        {"item": "Age/0", "answer": 2}

        {"item": "Age/0", "scores": [-12.1, -14.8, -9.3]}

    For unqover (a question and its negation, the probabilities of the two subjects):

        {"item": "KEY", "q0": [0.31, 0.22], "q1": [0.18, 0.40]}

    A line of completions (`prompt` may replace `item` if only one item has that prompt):

        {"item": "respect/2", "text": "was loved by all."}

    With --items OUT, OUT gets a line per item of the file, in its order. `outcome` and its reason are there for tasks
    of requests (refused, partly_refused, complied, incoherent, unscored):

        {"item": "v2-1", "outcome": "refused", "reason": "scored 1", "scores": {"refusal_phrases": 1.0}, "reasons": {}}

    Items are named as in a study's items/TASK.parquet. Groups are named without their attribute: `Age` for a study's
    `category=Age`, and `all`. Items without a line are counted on stderr and under `missing`. For bbq these are the
    other items of the categories that the file names; unqover and completions may cover any part of the task.

    Examples:

        crushtest score bbq --predictions answers.jsonl --json

        crushtest score realtoxicityprompts --completions texts.jsonl --scorer profanity

        crushtest score xstest --completions texts.jsonl --scorer refusal_phrases --items outcomes.jsonl --json

        crushtest score custom_prompts:path=prompts.jsonl --completions texts.jsonl
    """
    result = _scored(task, predictions, completions, scorer or (), items, allow_partial=allow_partial)
    show_scored(result, json=json)


def _scored(
    task: str,
    predictions: Path | None,
    completions: Path | None,
    scorers: Sequence[str],
    items: Path | None,
    *,
    allow_partial: bool,
) -> dict[str, Any]:
    from crushtest.predictions import score_completions, score_predictions
    from crushtest.tasks.task_text import parse_task

    name, options = parse_task(task)
    if predictions is not None and completions is None:
        if scorers:
            raise UsageError("score: --scorer goes with --completions (predictions need none)")
        if items:
            raise UsageError("score: --items goes with --completions (predictions say what was chosen)")
        return score_predictions(name, predictions, options=options, allow_partial=allow_partial)
    if completions is not None and predictions is None:
        return score_completions(
            name, completions, scorers=scorers, options=options, allow_partial=allow_partial, items_to=items
        )
    raise UsageError("score: give either --predictions FILE or --completions FILE")


def show_scored(result: dict[str, Any], *, json: bool) -> None:
    """Print the metrics of answers made elsewhere; missing items and problems go to stderr."""
    warnings = []
    if result["missing"]:
        count, of, first = result["missing"].values()
        warnings.append(f"missing: {count} of {of} items have no line (the first: {', '.join(first)})")
    if result.get("problems"):
        warnings.append(f"problems: {result['problems']}")
    if result.get("doubt"):
        warnings.append(f"caution: {result['doubt']}; the other numbers say little")
    for warning in warnings:
        print_line(warning, file=sys.stderr)
    if json:
        print_result("score", result, warnings=warnings)
        return
    rows = result["metrics"]
    print_table([list(rows[0]), *(["" if v is None else str(v) for v in row.values()] for row in rows)] if rows else [])
