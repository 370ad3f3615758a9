"""Have people label pairs of answers: draw a blind sheet, and read it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crushtest.errors import StoreError, UnknownName, UsageError
from crushtest.files.atomic import replacing
from crushtest.records import DENSE, Prompt
from crushtest.study.chain import refuse_untied
from crushtest.study.folder import StudyFolder
from crushtest.study.label_sheet import SheetRow, read_sheet, sheet_csv
from crushtest.study.labels import Labelling, Pair, PairLabel, labellings
from crushtest.study.plan import Plan
from crushtest.thinking import after_thinking

LONGEST = 20_000
"""Characters of a text on a sheet."""


@dataclass(frozen=True)
class Drawn:
    """The files of a sheet that was drawn, and what it holds: `pairs` out of the `of` that could be drawn."""

    csv: Path
    page: Path
    key: Path
    pairs: int
    discordant: int
    of: int


def choose(folder: StudyFolder, plan: Plan, *, task: str | None, scorer: str | None, arm: str | None) -> Labelling:
    """Return what is to be labelled. Whatever is not named must be the only one that the study has.

    Raises UnknownName for a name that the study lacks, and UsageError, with the choices, if one must be named.
    """
    open_ = labellings(folder, plan.tasks, [each.name for each in plan.arms])
    if not open_:
        raise UsageError(
            f"{folder.root}: nothing to label; that takes an arm besides dense, and a task of prompts with a scorer "
            f"that has a threshold"
        )
    wanted: list[tuple[str, str | None, Callable[[Labelling], str]]] = [
        ("arm", arm, lambda one: one.arm),
        ("task", task, lambda one: one.planned.name),
        ("scorer", scorer, lambda one: one.scorer),
    ]
    for what, given, name_of in wanted:
        names = list(dict.fromkeys(map(name_of, open_)))
        if given is not None and given not in names:
            raise UnknownName(what, given, names, where=f"{folder.root}: label")
        if given is None and len(names) > 1:
            raise UsageError(f"{folder.root}: several can be labelled; name one with --{what}: {', '.join(names)}")
        open_ = [one for one in open_ if name_of(one) == (given or names[0])]
    (chosen,) = open_
    _refuse_unfinished(chosen)
    return chosen


def _refuse_unfinished(labelling: Labelling) -> None:
    folder, task = labelling.folder, labelling.planned
    for arm in (DENSE, labelling.arm):
        logs = folder.answers(arm, task.name, task.task.kind), folder.scores(arm, labelling.scorer, task.name)
        if not all(log.complete for log in logs):
            raise StoreError(
                f"{folder.root}: {arm!r} is not answered and scored to the last item of {task.name!r} yet; run the "
                f"study to its end"
            )


def draw_sheet(folder: StudyFolder, labelling: Labelling, *, pairs: int, seed: int) -> Drawn:
    """Draw pairs to label; write the key, and the sheet as CSV and as one page.

    Raises StoreError if a key of another draw is there.
    """
    from crushtest.report.page.label_page import label_page
    from crushtest.report.untrusted import visible

    refuse_untied(folder)
    key = labelling.draw(pairs, seed)
    labelling.write_key(key)
    by_item = {pair.item.id: pair for pair in labelling.pairs}
    rows = []
    for drawn in key.iter_rows(named=True):
        pair = by_item[drawn["item"]]
        answers = [after_thinking(answer.text) for answer in (pair.dense, pair.arm)]
        prompt, *texts = (visible(text, LONGEST) for text in (_prompt(pair), *answers))
        first, second = texts if drawn["first"] == DENSE else reversed(texts)
        rows.append(SheetRow(drawn["pair"], prompt, first, second))
    sheet, page = (labelling.root / name for name in ("sheet.csv", "sheet.html"))
    _write(sheet, "\ufeff" + sheet_csv(rows))  # the mark tells spreadsheets that the file is UTF-8
    _write(page, label_page(labelling, rows))
    discordant = int((key["dense"] != key["arm"]).sum())
    return Drawn(sheet, page, labelling.key, len(rows), discordant, round((1 / key["inclusion"]).sum()))


def _prompt(pair: Pair) -> str:
    assert isinstance(pair.item.request, Prompt)
    return pair.item.request.text


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")


class Labelled(NamedTuple):
    """How many pairs of a sheet people labelled, both answers of each, and of how many they were unsure."""

    pairs: int
    unsure: int


def read_labels(labelling: Labelling, sheet: Path) -> Labelled:
    """Store the labels of a filled sheet in the study, instead of older ones. Return how many pairs have labels.

    Raises DataError, which names the line, for a sheet that cannot be read or is another one.
    """
    sides = {row["pair"]: row["first"] == DENSE for row in labelling.read_key().iter_rows(named=True)}
    given = read_sheet(sheet, sides)
    labels = {}
    for pair, label in given.items():
        dense, arm = (label.first, label.second) if sides[pair] else (label.second, label.first)
        labels[pair] = PairLabel(dense, arm)
    labelling.write_labels(labels)
    unsure = sum(None in (label.dense, label.arm) for label in labels.values())
    return Labelled(len(labels) - unsure, unsure)
