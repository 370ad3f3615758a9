"""Arms that begin their answers in other words than dense, where a detector of refusals reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from crushtest.records import DENSE, Completion
from crushtest.registry import SCORERS
from crushtest.report.formats import show_p, show_value
from crushtest.stats.openings import OpeningDrift, opening_drift
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask
from crushtest.thinking import after_thinking

if TYPE_CHECKING:
    from crushtest.report.study_view import StudyView

Drifts = Mapping[tuple[str, str], OpeningDrift]
"""(arm, task) -> how its openings compare with dense's."""


def read_drifts(
    folder: StudyFolder, tasks: Iterable[PlannedTask], measured: frozenset[tuple[str, str]]
) -> dict[tuple[str, str], OpeningDrift]:
    """Compare the openings of every measured (arm, task) with dense's, in tasks whose answers are read for refusals."""
    drifts = {}
    for planned in tasks:
        if not reads_refusals(planned) or (DENSE, planned.name) not in measured:
            continue
        dense = _texts(folder, DENSE, planned)
        for arm in (arm for arm, task in measured if task == planned.name and arm != DENSE):
            texts = _texts(folder, arm, planned)
            both = [item for item in dense if item in texts]
            drift = opening_drift([dense[item] for item in both], [texts[item] for item in both])
            if drift is not None:
                drifts[arm, planned.name] = drift
    return drifts


def reads_refusals(planned: PlannedTask) -> bool:
    """Return whether a scorer of the task is a detector of refusals."""
    names = (SCORERS.split(scorer)[0] for scorer in planned.task.scorers)
    return any(SCORERS.get(name).about.detects == "refusal" for name in names)


def drift_text(study: StudyView, arm: str, task: str) -> str:
    """Warn of an arm's openings if they drifted from dense's; empty otherwise."""
    drift = study.drifts.get((arm, task))
    if drift is None or not drift.drifted:
        return ""
    before, after = (show_value(share, "rate") for share in (drift.dense, drift.arm))
    return (
        f"answers begin otherwise than dense's: {after} with one of dense's ten commonest openings, dense's own "
        f"{before} (p {show_p(drift.p)}); a detector may miss refusals in other words, so label some pairs with "
        f"`crushtest label`"
    )


def _texts(folder: StudyFolder, arm: str, planned: PlannedTask) -> dict[str, str]:
    answers = folder.answers(arm, planned.name, planned.task.kind).read()
    return {item: after_thinking(answer.text) for item, answer in answers.items() if isinstance(answer, Completion)}
