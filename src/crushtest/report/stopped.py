"""What the page says of arms that were not asked every item, because a policy's verdict on them was certain."""

from __future__ import annotations

from collections.abc import Iterator

from crushtest.report.study_view import StudyView
from crushtest.report.wording import counted
from crushtest.results import Contrast
from crushtest.study.stops import promise, stops_of


def stopped_arms(study: StudyView) -> frozenset[str]:
    """Return the arms that stopped in a task."""
    return frozenset(row.arm for row in study.contrasts.values() if row.look is not None)


def stop_texts(study: StudyView, arm: str) -> Iterator[str]:
    """Yield where an arm stopped in each task, and what that promises."""
    if study.plan.stop_early is None:
        return
    for (name, task), stop in stops_of(study.folder, study.plan).items():
        if name == arm:
            why = " (a regression, which ended the arm)" if stop.because == "regression" else ""
            yield f"{task}: {promise(stop, study.plan.stop_early.error)}{why}"


def stopped_text(count: int) -> str:
    """Say in the lead how many arms stopped early."""
    return (
        f"{counted(count, 'variant')} stopped early, when the policy's verdict was certain; `crushtest gate` gives it. "
        "What is grey is estimated from the items asked."
    )


def look_text(contrast: Contrast) -> str:
    """Return at which look a row's arm stopped; empty if it was asked every item."""
    look = contrast.look
    return "" if look is None else f"stopped at look {look.number} of {look.of}: {contrast.n} of {look.items} items"
