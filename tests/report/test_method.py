"""What the page says of how a study was made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crushtest.report import arm_verdict, card
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


@pytest.mark.parametrize(
    ("message", "on_page", "in_card"),
    [
        ("Be brief.", "Be brief.", "Be brief."),
        ("<b>{{ 7*7 }}\u202e", "&lt;b&gt;{{ 7*7 }}[U+202E]", "&lt;b&gt;"),
        ("A" * 9_000, "A" * 1_500 + " …", "A" * 1_500 + " …"),
        (None, None, None),
    ],
)
def test_the_system_message_stands_on_page_and_card(
    study: StudyFolder, message: str | None, on_page: str | None, in_card: str | None
) -> None:
    view = read_study(study)
    tasks = tuple(replace(task, planned=replace(task.planned, system=message)) for task in view.tasks)
    view = replace(view, tasks=tasks)
    page, text = html.render(view), "\n".join(card._text(view, arm_verdict.verdicts(view)[0]))
    if on_page is None or in_card is None:
        assert "System message before" not in page + text
        return
    assert f'before every request in chat: <q id="system-message">{on_page}' in page
    assert f"System message before every request in chat: “{in_card}" in text
