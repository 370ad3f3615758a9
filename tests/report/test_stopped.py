"""A stopped arm's rows say where it stopped; none of them is called clear, and no correction is claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crushtest.report import card
from crushtest.report.arm_verdict import ArmVerdict, verdicts
from crushtest.report.page.group_tables import _changed_groups
from crushtest.report.shading import clear_alone, is_clear
from crushtest.report.study_view import StudyView, judged, read_study
from crushtest.results import Look
from crushtest.stats.verdicts import WORSE
from crushtest.study.folder import StudyFolder


@pytest.fixture
def stopped(study: StudyFolder) -> StudyView:
    """The study as if its arms had stopped in every task, and got worse in everything."""
    view = read_study(study)
    look = Look(number=4, of=10, items=999)
    rows = {
        key: replace(row, verdict=WORSE, p=None, look=look) if row.intervals is not None else row
        for key, row in view.contrasts.items()
    }
    return judged(replace(view, contrasts=rows))


def test_no_row_of_a_stopped_arm_is_clear(stopped: StudyView) -> None:
    rows = [row for row in stopped.contrasts.values() if row.look is not None]
    assert rows
    assert not any(is_clear(row) or clear_alone(row) for row in rows)


def test_the_verdict_lists_stopped_headlines_apart(stopped: StudyView) -> None:
    for verdict in verdicts(stopped):
        assert (verdict.worse, verdict.better, verdict.unclear, verdict.other_worse, verdict.groups) == ((),) * 5
        assert verdict.stopped
        for finding in verdict.stopped:
            assert f"stopped at look 4 of 10: {finding.contrast.n} of 999 items" in finding.text
            assert "no correction was made" in finding.text
            assert "after correction" not in finding.text


def test_the_card_claims_no_correction_for_a_stopped_arm(stopped: StudyView) -> None:
    verdict: ArmVerdict = verdicts(stopped)[0]
    text = "\n".join(card._text(stopped, verdict))
    assert "### Stopped early" in text
    assert "corrected over" not in text


def test_no_group_is_said_to_be_clear_where_all_arms_stopped(stopped: StudyView) -> None:
    (task, metric), groups = next(
        (key, groups) for key, groups in stopped.rows_of.items() if any("=" in group for group in groups)
    )
    text = _changed_groups(stopped, stopped.task(task), metric, groups)
    assert text == "No group changed clearly in any variant that did not stop early."
