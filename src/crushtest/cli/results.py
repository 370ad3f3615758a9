"""The commands that read a study's folder: compare, report, card, query, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from crushtest.cli.at_address import at_address
from crushtest.cli.envelope import print_result
from crushtest.cli.options import Place
from crushtest.cli.output import AsJson, print_line, print_table
from crushtest.errors import UnknownName, UsageError
from crushtest.metrics import ALL
from crushtest.printing import printable
from crushtest.records import DENSE

if TYPE_CHECKING:
    from crushtest.study.folder import StudyFolder


@at_address("folder", writes=True)
def compare(
    folder: Place,
    task: Annotated[str | None, typer.Option(help="Print all contrasts of this task instead of the summary.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Compare every other arm with this one as well; `none`: with dense alone again. The study keeps it.",
        ),
    ] = None,
    arms: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Compare arm A with arm B as well. The study keeps it."),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --against or --accept: the arm that is meant.")
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="WHY", help="Compare --arm although its engine reads a fixed text otherwise. The study keeps it."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare a study's arms with the dense model, from the stored answers, and print the contrasts.

    Contrasts with other arms (`against:` in the study file, --arms or --against) are made in addition, and made again
    whenever the study is compared. `--against none --arm A` takes those of A back.

    Rewrites estimates.parquet, contrasts.parquet, noise.parquet and report.html. A file whose content would not change
    is left alone, and the old page stays until the new one is complete. Answers and scores are only read.
    """
    from rich.console import Console

    from crushtest.pipeline.run import recompare
    from crushtest.report import terminal
    from crushtest.study.folder import StudyFolder
    from crushtest.study.merge import NO_OTHER

    if arms is not None and (against, arm) != (None, None):
        raise UsageError("compare: --arms names both arms; give it without --against and --arm")
    arm, against = arms or (arm, against)
    if arm is not None and against is None and accept is None:
        raise UsageError(f"compare: --arm says which arm --against or --accept is about; give one (got {arm!r})")
    study = StudyFolder.existing(folder)
    recompare(study, task=task, against=against, arm=arm, accept=accept)
    other = DENSE if against in (None, NO_OTHER) else against
    if json:
        rows = [row for row in contrast_rows(study, task) if row["against"] == other]
        facts = {"study": str(folder), "report": str(study.report), "contrasts": rows}
        print_result("compare", facts)
        return
    terminal.print_contrasts(study, Console(), task=task, against=other)


def contrast_rows(study: StudyFolder, task: str | None) -> list[dict[str, Any]]:
    """Return the contrasts of a task; of every task those over all items, if none is named."""
    from crushtest.study.query import ask

    rows: list[dict[str, Any]] = ask(study, "SELECT * FROM contrasts").to_dicts()
    return [row for row in rows if (row["group"] == ALL if task is None else row["task"] == task)]


Beside = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE",
        help="Draw published changes beside the study's own: a source of `crushtest published list`, or a "
        "published.parquet. Default: those of the study file (`beside`).",
    ),
]
HeadPolicy = Annotated[
    str | None,
    typer.Option(
        help="Head the page with the gate's outcome by this policy: a file, or a built-in one. Default: that of "
        "the study file (`policy`)."
    ),
]


@at_address("folder", writes=True)
def report(
    folder: Place,
    tables: Annotated[
        Path | None, typer.Option(help="Also write all tables to this folder: CSV, LaTeX, Markdown.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Also write all figures to this folder: PDF, SVG, PNG.")] = None,
    beside: Beside = None,
    policy: HeadPolicy = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print a summary to paste: Markdown of at most ten lines.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Rewrite report.html from the study's files alone, with what this call or the study file puts beside or above it.

    `--summary` alone leaves the page as it is.

    Example: crushtest report studies/demo --policy standard --summary
    """
    from crushtest import report as reporting
    from crushtest.files.atomic import make_writable
    from crushtest.pipeline.page import judged_by, write_page
    from crushtest.pipeline.remote.opened import by_address
    from crushtest.report.beside import nothing_beside
    from crushtest.report.study_view import read_study
    from crushtest.study.folder import StudyFolder

    study = StudyFolder.existing(folder)
    warning = say_if_untied(study)
    for target in (tables, figures):
        if target:
            make_writable(target)
    with study.locked():
        stays = summary and beside is None and policy is None and study.has_current_report()
        page = str(study.report if stays else write_page(study, beside, policy))
    pasted = reporting.summary_lines(study, judged_by(study, policy)) if summary else []
    lines = [by_address(line, folder) for line in pasted]
    unmatched = nothing_beside(read_study(study, beside), beside) if beside else ""
    if unmatched:
        print_line(f"report: {unmatched}", file=sys.stderr)
    if tables:
        reporting.write_tables(study, tables)
    if figures:
        reporting.write_figures(study, figures, beside)
    if json:
        folders = {"tables": tables, "figures": figures}
        written = {name: str(target) for name, target in folders.items() if target}
        print_result("report", {"report": page, **written, "summary": lines}, warnings=[warning, unmatched])
        return
    for line in lines:
        print(line)
    if not summary:
        print_line(page)


@at_address("folder", writes=True)
def card(
    folder: Place,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/MODEL",
            help="Also propose a variant's section for this model of the hub, as a pull request. The key is read from "
            "HF_TOKEN.",
        ),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --push: which variant. Default: the only one.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a section for the model card of each arm, with `model-index` metadata that the hub accepts.

    Example: crushtest card studies/ship --push org/model-4bit --arm w4
    """
    from crushtest.report.card import write_card
    from crushtest.study.folder import StudyFolder

    if push is None and arm is not None:
        raise UsageError("card: --arm says which variant to --push; give --push ORG/MODEL as well")
    study = StudyFolder.existing(folder)
    warning = say_if_untied(study)
    with study.locked():
        cards = {unquote(path.stem): path for path in write_card(study)}
    pushed = {} if push is None else {"pull_request": _pushed(cards, push, arm)}
    if json:
        print_result("card", {"cards": [str(path) for path in cards.values()], **pushed}, warnings=[warning])
        return
    for line in (*cards.values(), *pushed.values()):
        print_line(str(line))


def _pushed(cards: dict[str, Path], repository: str, arm: str | None) -> str:
    """Propose the card of one variant, and return the address of the pull request."""
    from crushtest.pipeline.push_card import push_card

    if arm is None and len(cards) > 1:
        raise UsageError(f"card: --push is for one variant; name it with --arm ({', '.join(cards)})")
    name = arm or next(iter(cards))
    if name not in cards:
        raise UnknownName("arm", name, cards)
    return push_card(cards[name].read_text(encoding="utf-8"), repository, name)


@at_address("folder", writes=False)
def query(
    folder: Place,
    sql: Annotated[
        str,
        typer.Argument(
            help="SQL (DuckDB) over items, answers, scores, estimates, contrasts, hidden_harm, rankings, noise."
        ),
    ],
    json: AsJson = False,
) -> None:
    """Query a study's tables with SQL.

    Example: crushtest query studies/demo "SELECT arm, metric, p FROM contrasts WHERE p < 0.01 AND against = 'dense'"
    """
    from crushtest.study.folder import StudyFolder
    from crushtest.study.query import ask

    study = StudyFolder.existing(folder)
    warning = say_if_untied(study)
    table = ask(study, sql)
    if json:
        print_result("query", table.to_dicts(), warnings=[warning])
    else:
        print_table([table.columns, *([str(value) for value in row] for row in table.rows)])


@at_address("folder", writes=False, afresh=True)
def verify(folder: Place, json: AsJson = False) -> None:
    """Check that a study's files are whole and belong together: exit code 0 if they do, 1 if anything does not fit.

    Items, answers, scores and results form a chain. Each file holds the digest of its own bytes, and the digests of
    the files that it was made from. So a file that was cut, edited, deleted, exchanged for another arm's or task's, or
    left behind by an older run shows. Every line that is printed names a file, what is wrong with it, and the way out.
    Nothing is written.

    `report`, `card`, `query`, `compare`, `gate` and `run` check what they read by themselves. This checks everything,
    including files that nothing else reads: before a study is archived, and after it was copied.

    Example: crushtest verify studies/demo && crushtest gate studies/demo
    """
    from crushtest.pipeline.remote.opened import by_address
    from crushtest.study.chain import problems, untied_note
    from crushtest.study.folder import StudyFolder

    study = StudyFolder.existing(folder)
    lines = [by_address(problem, folder) for problem in problems(study)]
    if not lines and (note := untied_note(study)):
        lines.append(note)
    if json:
        print_result("verify", {"problems": lines}, status="problems" if lines else "done")
    for line in [] if json else lines:
        print(printable(line))
    count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}" if lines else "every file is whole and in its place"
    print(f"verify: {count}", file=sys.stderr)
    raise typer.Exit(1 if lines else 0)


def say_if_untied(study: StudyFolder) -> str:
    """Print a line if an older version wrote the results, which then cannot be checked, and return it."""
    from crushtest.study.chain import untied_note

    if note := untied_note(study):
        print_line(f"crushtest: {note}", file=sys.stderr)
    return note
