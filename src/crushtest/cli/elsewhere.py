"""The commands for answers made elsewhere: items writes what must be answered, add makes the answers an arm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crushtest.cli.at_address import at_address
from crushtest.cli.envelope import print_result
from crushtest.cli.output import AsJson, print_line
from crushtest.cli.score import Completions, Predictions
from crushtest.errors import UsageError
from crushtest.records import DENSE, Passage

if TYPE_CHECKING:
    from crushtest.pipeline.added import Added, Form
    from crushtest.records import Item

READ_ALONE = (
    "the answers are options without scores: they count in measures whose names end in `_read`, such as accuracy_read, "
    "and rules about the others do not see them"
)
Task = Annotated[
    str, typer.Argument(metavar="TASK[:OPTION=VALUE,...]", help="A task of `crushtest list tasks`, with options.")
]


@at_address("study", writes=False)
def items(
    task: Task,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: a JSON object per line.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many items, as `run --limit` draws them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of that draw.")] = 0,
    study: Annotated[Path | None, typer.Option(help="Ask as this study does: its folder or address.")] = None,
    json: AsJson = False,
) -> None:
    """Write a task's items as JSON lines, for a program that answers them elsewhere.

    A line says what must be answered: `item` (its id), `kind`, `prompt`, `options` for choices, `groups`. The answers
    go to `crushtest add`, or to `crushtest score`.

    Examples:

        crushtest items probe_qa -o items.jsonl

        crushtest items bbq:categories=[Age] --limit 500 -o items.jsonl
    """
    from crushtest.predictions.export import export_items
    from crushtest.tasks.task_text import parse_task

    name, options = parse_task(task)
    if study is None:
        drawn = _drawn(name, options, limit, seed)
    elif options or limit or seed:
        raise UsageError("items: --study says what is asked; leave options, --limit and --seed out")
    else:
        drawn = _asked(study, name)
    export_items(drawn, output)
    asked = name if limit is None else f"{name}:limit={limit}"
    if any(isinstance(item.request, Passage) for item in drawn):
        after = "; they are texts to score, whose answers `add` does not take"
    else:
        after = "" if limit is None else f"; `crushtest add --task {asked}` takes their answers"
    if json:
        print_result("items", {"task": name, "items": len(drawn), "file": str(output)})
    else:
        print_line(f"{output}: {len(drawn):,} items of {name}{after}")


def _drawn(name: str, options: dict[str, Any], limit: int | None, seed: int) -> list[Item]:
    """Return the items that a study with these options would ask."""
    from crushtest.registry import TASKS

    entry = TASKS.get(name)
    built = entry.function(**entry.bind(options))
    drawn: list[Item] = built.sample_items(built.default_limit if limit is None else limit, seed)
    return drawn


def _asked(study: Path, name: str) -> list[Item]:
    from crushtest.study.folder import StudyFolder

    return StudyFolder.existing(study).read_items(name)


@at_address("folder", writes=True)
def add(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or a new one, which begins with --arm dense.")],
    task: Annotated[
        str, typer.Option(metavar="TASK[:OPTION=VALUE,...]", help="The task that was answered, with its options.")
    ],
    arm: Annotated[
        str, typer.Option(metavar="NAME", help=f"The arm that answered. `{DENSE}`: the model before compression.")
    ],
    predictions: Predictions = None,
    completions: Completions = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Leave out lines that cannot be used; they are named and counted.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Add answers made elsewhere to a study as an arm, and compare it. No model is needed.

    The files are those of `crushtest score`. Items without a line count as unanswered. The study may be one that `run`
    made: then the answers are to the items that it asks (`crushtest items --study`). Or all its arms come from files,
    the first as `dense`.

    Examples:

        crushtest add study --arm dense --task probe_qa --predictions before.jsonl

        crushtest add study --arm w4 --task probe_qa --predictions after.jsonl
    """
    from crushtest.pipeline.added import add_answers
    from crushtest.tasks.task_text import parse_task

    name, options = parse_task(task)
    files: dict[Form, Path | None] = {"predictions": predictions, "completions": completions}
    given = [(form, path) for form, path in files.items() if path is not None]
    if len(given) != 1:
        raise UsageError("add: give one file of answers: --predictions or --completions")
    [(form, path)] = given
    added = add_answers(folder, arm, name, path, form=form, options=options, allow_partial=allow_partial)
    _show_added(added, folder, json=json)


def _show_added(added: Added, folder: Path, *, json: bool) -> None:
    missing = added.given.missing
    warnings = [
        *([f"missing: {missing}; they count as unanswered"] if missing.items else []),
        *([READ_ALONE] if added.given.are_picks else []),
        *([f"problems: {added.given.problems}"] if added.given.problems else []),
    ]
    for warning in warnings:
        print_line(warning, file=sys.stderr)
    if json:
        print_result(
            "add",
            {
                "study": str(folder),
                "arm": added.arm,
                "task": added.task,
                "items": added.items,
                "missing": missing.to_json(),
                "problems": added.given.problems or None,
                "compared": list(added.compared),
            },
            warnings=warnings,
        )
        return
    compared = f"; compared with {DENSE}: {', '.join(added.compared)}" if added.compared else ""
    answered = f"{added.items - len(missing.items):,} of {added.items:,}"
    print_line(f"{folder}: {answered} items of {added.task} answered by {added.arm}{compared}")
