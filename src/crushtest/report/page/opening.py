"""What the page opens with: the arms ranked in the matrix, what sorts and filters them, and their cards behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crushtest.report.against import overviews
from crushtest.report.arm_verdict import ArmVerdict
from crushtest.report.arm_view import ArmView
from crushtest.report.formats import show_bytes
from crushtest.report.harm_order import least_harm_first
from crushtest.report.hidden_harm import SORTED, hidden_text
from crushtest.report.judged import ArmJudged, Judged
from crushtest.report.page.matrix import Cell, Column, Overview
from crushtest.report.page.table_notes import TableNotes, column_notes
from crushtest.report.shading import clear_alone, is_clear, times
from crushtest.report.study_view import StudyView
from crushtest.stats.hidden_harm import NO_HARM_SHOWN

MOST_OPEN = 3
"""How many arms a study may have for their cards to stand open."""
OUTCOMES = {"regression": "worse", "inconclusive": "unmeasured", "passed": "noise"}
"""Outcome of a gate -> the tone of its words."""


@dataclass(frozen=True)
class ArmFacts:
    """What the matrix holds of an arm besides its headlines, and what it is sorted and filtered by.

    place   in the order of least harm, from 0
    gate    what a policy says of it, and about which measures; None without a policy
    hidden  what is known of hidden harm, unless no harm was shown, which the matrix says by itself
    """

    verdict: ArmVerdict
    place: int
    size: str
    bytes: str
    gate: ArmJudged | None
    gate_tone: str
    gate_details: str
    hidden: str

    @property
    def worse_in(self) -> str:
        """The status under a heading that says `worse in`."""
        return self.verdict.status.removeprefix("worse in ")

    @property
    def share(self) -> float | None:
        """The size as a share of dense's; None if it is not recorded."""
        return self.verdict.arm.share_of_dense


@dataclass(frozen=True)
class Ranked:
    """An overview with the notes of its columns."""

    overview: Overview
    notes: TableNotes


def arm_facts(study: StudyView, verdicts: Sequence[ArmVerdict], judged: Judged | None) -> dict[str, ArmFacts]:
    """Return the facts of every arm by its name, least harm first."""
    ranked = least_harm_first(study, verdicts)
    return {verdict.arm.name: _facts(study, verdict, place, judged) for place, verdict in enumerate(ranked)}


def _facts(study: StudyView, verdict: ArmVerdict, place: int, judged: Judged | None) -> ArmFacts:
    arm = verdict.arm
    gate = judged.arms.get(arm.name) if judged else None
    found = study.hidden.get(arm.name)
    shown = found is not None and found.verdict != NO_HARM_SHOWN
    return ArmFacts(
        verdict=verdict,
        place=place,
        size="not recorded" if arm.share_of_dense is None else f"{arm.share_of_dense:.0%}",
        bytes=_bytes(arm),
        gate=gate,
        gate_tone=OUTCOMES.get(gate.outcome, "") if gate else "",
        gate_details=judged.details(study, arm.name) if judged else "",
        hidden=hidden_text(study, arm.name) if shown else "",
    )


def _bytes(arm: ArmView) -> str:
    size = arm.totals.get("compressed_model_size_bytes")
    return show_bytes(size) if size else ""


def ranked(study: StudyView, facts: Mapping[str, ArmFacts]) -> list[Ranked]:
    """Return the overview against dense, least harm first, then those against other arms in the study's order."""
    first, *others = overviews(study)
    order = sorted(first.rows, key=lambda row: facts[row.arm.name].place)
    return [_ranked(study.against(table.against), table) for table in (replace(first, rows=tuple(order)), *others)]


def _ranked(view: StudyView, table: Overview) -> Ranked:
    rows = tuple(
        row._replace(
            cells=tuple(
                _short(view, row.arm, cell, column) for cell, column in zip(row.cells, table.columns, strict=True)
            )
        )
        for row in table.rows
    )
    notes = column_notes([row.cells for row in rows]) if rows else TableNotes((), ((),) * len(table.columns), ())
    return Ranked(replace(table, rows=rows), notes)


def _short(view: StudyView, arm: ArmView, cell: Cell, column: Column) -> Cell:
    """Return a cell with its verdict in as few words as a column has room for, and how many times a perplexity rose."""
    metric = column.task.headline
    contrast = view.contrast(arm.name, column.task.name, metric.name, column.group)
    if contrast is None or not cell.interval:
        return cell
    if clear_alone(contrast):
        return replace(cell, word="clear alone")
    fold = times(contrast, metric.unit) if is_clear(contrast) else ""
    return replace(cell, word=", ".join(filter(None, (cell.word, fold))))


def hides_anything(study: StudyView) -> bool:
    """Return whether any arm has a verdict on hidden harm that is worth a column."""
    return any(SORTED.get(each.verdict, 2) for each in study.hidden.values())


def families(study: StudyView) -> list[str]:
    """Return the methods of the arms, each once, to filter by."""
    return sorted({arm.family for arm in study.others})
