"""The command that has people label pairs of answers: label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.options import Folder
from crushtest.cli.output import AsJson, print_line
from crushtest.errors import UsageError

if TYPE_CHECKING:
    from crushtest.study.folder import StudyFolder
    from crushtest.study.labels import Labelling


def label(
    folder: Folder,
    arm: Annotated[str | None, typer.Option(metavar="NAME", help="The arm whose answers stand beside dense's.")] = None,
    task: Annotated[str | None, typer.Option(help="The task of prompts whose answers are labelled.")] = None,
    scorer: Annotated[str | None, typer.Option(help="The scorer that the labels judge; one with a threshold.")] = None,
    pairs: Annotated[int | None, typer.Option(min=10, help="Pairs on the sheet, about. Default: 60.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draw. Default: the study's.")] = None,
    read: Annotated[
        Path | None, typer.Option(metavar="SHEET.csv", help="Read a filled sheet back instead of drawing one.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Have people label pairs of answers, which corrects a scorer's difference between an arm and dense.

    A scorer errs, and not alike in both arms: one that misses refusals in other words reports a loss where an arm only
    rephrases. Labels of a few dozen pairs tell its errors in each arm, and correct its difference, with an interval.
    Only stored answers and scores are read; no model is needed.

    Draw: writes sheet.csv and sheet.html (the same pairs, one file, no network) below DIR/labels. Answers of dense and
    of the arm stand side by side, shuffled, and nothing on the sheet says whose they are; key.parquet beside it does,
    so give people the sheet alone. Pairs on which the scorer makes the arms differ come first; others are sampled.

    Label: in columns label_first and label_second say yes, no or unsure of each answer by itself, or open the page and
    save at the end. What stays empty is not labelled.

    Read: `--read` checks the sheet line by line, stores the labels in the study and rewrites report.html. A second
    --read replaces the labels of the first.

    Whatever is the only one of its kind in the study (arm, task, scorer) need not be named.

    Examples:

        crushtest label studies/demo --arm "wanda:pattern=2:4"

        crushtest label studies/demo --arm "wanda:pattern=2:4" --read labels.csv
    """
    from crushtest.pipeline.label import choose
    from crushtest.study.folder import StudyFolder
    from crushtest.study.plan import stored_plan

    if read is not None and (pairs is not None or seed is not None):
        raise UsageError("label: --pairs and --seed belong to the draw, not to --read; leave them out")
    study = StudyFolder.existing(folder)
    plan = stored_plan(study.specification)
    chosen = choose(study, plan, task=task, scorer=scorer, arm=arm)
    with study.locked():
        if read is None:
            count = 60 if pairs is None else pairs
            _draw(study, chosen, pairs=count, seed=plan.seed if seed is None else seed, json=json)
        else:
            _read(study, chosen, read, json=json)


def _draw(study: StudyFolder, chosen: Labelling, *, pairs: int, seed: int, json: bool) -> None:
    """Draw a sheet, and say what is on it and where it lies."""
    from crushtest.pipeline.label import draw_sheet

    drawn = draw_sheet(study, chosen, pairs=pairs, seed=seed)
    files = [str(path) for path in (drawn.csv, drawn.page, drawn.key)]
    if json:
        facts = {"pairs": drawn.pairs, "of": drawn.of, "discordant": drawn.discordant, "files": files}
        print_result("label", facts)
        return
    print_line(f"{drawn.pairs} of {drawn.of} pairs; the scorer makes the arms differ in {drawn.discordant}")
    for file in files:
        print_line(file)


def _read(study: StudyFolder, chosen: Labelling, sheet: Path, *, json: bool) -> None:
    """Store a sheet's labels, write the page anew, and say what they correct."""
    from crushtest.pipeline.label import read_labels
    from crushtest.pipeline.page import write_page
    from crushtest.report.study_view import read_study
    from crushtest.report.terminal import correction_lines
    from crushtest.stats.verdicts import counted

    count = read_labels(chosen, sheet)
    lines: list[str] = []
    if study.contrasts.exists():
        write_page(study)
        lines += correction_lines(read_study(study), task=chosen.planned.name, arm=chosen.arm)
    if json:
        facts = {"pairs": count.pairs, "unsure": count.unsure, "labels": str(chosen.labels), "corrections": lines}
        print_result("label", facts)
        return
    unsure = f", {count.unsure} unsure" if count.unsure else ""
    print_line(f"{counted(count.pairs, 'pair')} labelled{unsure}: {chosen.labels}")
    for line in lines:
        print_line(line)
