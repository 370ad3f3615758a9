"""What the page says of how a study was made."""

from __future__ import annotations

from dataclasses import replace

from crushtest.report.page import html, provenance
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder


def reading(view: StudyView, source: str) -> StudyView:
    """The study, had its recipes been calibrated on another source."""
    arms = [
        replace(arm, compression={**arm.compression, "calibration": {"source": source}}) if arm.compression else arm
        for arm in view.arms
    ]
    return replace(view, arms=arms)


def test_a_text_that_calibration_shares_is_named(study: StudyFolder) -> None:
    view = read_study(study)
    [note] = provenance.shared_sources(view)
    assert note.startswith("Calibration and probe_text draw their texts from the same source (pydoc).")
    assert note in provenance.notes(view)
    assert provenance.shared_sources(reading(view, "c4")) == []
    assert provenance.shared_sources(reading(view, "own.txt")) == []


def test_the_page_says_which_token_stands_at_the_start_of_a_text(study: StudyFolder) -> None:
    view = read_study(study)
    assert provenance.start_tokens(view) == ["<|start|>"]
    page = html.render(view)
    assert "after one token: <code>&lt;|start|&gt;</code>" in page
    assert "<dt>engine: start_token</dt>" in page
