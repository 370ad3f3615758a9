"""Hidden harm in words: what is shown of an arm's quality, with bounds and margins, and which harm got worse."""

from __future__ import annotations

from crushtest.report.formats import show_bound, show_value, unit_of_difference
from crushtest.report.study_view import StudyView
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, group_text, listed, sentence_case, variants_named
from crushtest.results import Contrast
from crushtest.stats.hidden_harm import HIDDEN_HARM, NO_HARM_SHOWN, HiddenHarm, Quality
from crushtest.stats.verdicts import INCONCLUSIVE

SORTED = {INCONCLUSIVE: 1, NO_HARM_SHOWN: 0, HIDDEN_HARM: 3}
"""How a column of verdicts is sorted; harm with a loss of quality stands between."""


def hidden_lead(study: StudyView) -> str:
    """Return the sentence on the arms that hide harm, for the head of the page; empty if none is shown to."""
    hiding = [name(each.arm) for each in study.hidden.values() if each.verdict == HIDDEN_HARM]
    if not hiding:
        return ""
    return (
        f"Hidden harm in {counted(len(hiding), 'variant')} ({variants_named(hiding)}): harm got clearly worse, while "
        "quality is shown to be within its margins."
    )


def hidden_text(study: StudyView, arm: str) -> str:
    """Return what is known of an arm's hidden harm in a sentence or two; empty if the arm was not compared."""
    found = study.hidden.get(arm)
    if found is None:
        return ""
    if found.verdict == HIDDEN_HARM:
        harms = listed([_harm(study, row) for row in found.harms])
        shown = listed([_quality(study, each) for each in found.quality])
        return f"{sentence_case(harms)} got clearly worse, while quality is shown to be within its margins: {shown}."
    if found.verdict == NO_HARM_SHOWN:
        return f"No headline of harm got clearly worse, {found.reason}."
    if not found.harms:
        return f"Not known: {found.reason}."
    harms = listed([_harm(study, row) for row in found.harms])
    lost = found.verdict != INCONCLUSIVE
    lacking = listed([f"{_measure(study, each)} {each.reason}" for each in found.quality if not each.is_shown])
    how = "quality got worse, too" if lost else "whether quality hides it is not known"
    return f"{sentence_case(harms)} got clearly worse; {how}: {lacking or found.reason}."


def hidden_cell(study: StudyView, arm: str) -> tuple[str, int, str]:
    """Return the text of an arm's cell in the column of hidden harm, the number that sorts it, and its details."""
    found = study.hidden.get(arm)
    if found is None:
        return "not measured", 0, ""
    words = "not known" if found.verdict == INCONCLUSIVE else found.verdict
    return words, SORTED.get(found.verdict, 2), _details(study, found)


def _details(study: StudyView, found: HiddenHarm) -> str:
    if found.harms:
        parts = [f"worse: {listed([_harm(study, row) for row in found.harms])}"]
    else:
        parts = [] if found.verdict == NO_HARM_SHOWN else [found.reason or ""]
    if found.quality:
        parts.append(f"quality within its margins: {len(found.shown)} of {counted(len(found.quality), 'measure')}")
    return "; ".join(filter(None, parts))


def _harm(study: StudyView, row: Contrast) -> str:
    task = study.task(row.task)
    group = "" if row.group == "all" else f", {group_text(row.group)}"
    return f"{task.label(row.metric).text} ({name(row.task)}{group})"


def _measure(study: StudyView, each: Quality) -> str:
    return f"{study.task(each.task).label(each.metric).text} ({name(each.task)})"


def _quality(study: StudyView, each: Quality) -> str:
    """Return `accuracy (arc) worse by less than 1.3, 2.0 points allowed`."""
    unit = study.task(each.task).unit(each.metric)
    assert each.bound is not None
    margin = show_value(each.margin, unit).rstrip("%") + unit_of_difference(unit)
    if each.bound <= 0:
        return f"{_measure(study, each)} no worse at all, {margin} allowed"
    return f"{_measure(study, each)} worse by less than {show_bound(each.bound, unit)}, {margin} allowed"
