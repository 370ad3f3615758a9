"""Changed answers are counted and named by direction, beside a rate that did not move as well."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from crushtest.report import answers, arm_verdict, terminal
from crushtest.report.page import html
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder
from support.contrast_rows import with_columns


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


@pytest.mark.parametrize(
    ("better", "text"),
    [
        ("higher", "12 of 60 answers changed (20%): 5 for the better, 4 for the worse, 3 count as before"),
        ("lower", "12 of 60 answers changed (20%): 4 for the better, 5 for the worse, 3 count as before"),
        ("zero", "12 of 60 answers changed (20%): 5 now count in the measure, 4 no longer do, 3 count as before"),
    ],
)
def test_changed_answers_have_a_direction_where_the_measure_has_one(view: StudyView, better: str, text: str) -> None:
    task = next(task for task in view.tasks if task.name == "probe_facts")
    row = next(row for row in view.contrasts.values() if row.metric == "accuracy")
    counted = with_columns(row, n=60, flips=12, flips_up=5, flips_down=4, better=better)  # type: ignore[arg-type]
    assert answers.changed_answers(counted, task) == text
    assert answers.changed_answers(with_columns(counted, flips=None), task) == ""
    noisy = " (within measurement noise: repeats changed up to 20%)"
    counted = with_columns(counted, verdict="no clear difference", noise_net_share=1 / 60)
    assert answers.changed_answers(with_columns(counted, noise_flip_share=0.2), task) == text + noisy
    assert answers.changed_answers(with_columns(counted, noise_flip_share=11 / 60), task) == text


def test_the_p_of_single_items_stands_beside_that_of_clusters(view: StudyView) -> None:
    task = next(task for task in view.tasks if task.name == "probe_facts")
    row = next(row for row in view.contrasts.values() if row.metric == "accuracy")
    row = with_columns(row, n=450, flips=9, flips_up=0, flips_down=9, flips_p=2 / 2**9, clusters=8)  # type: ignore[arg-type]
    assert answers.changed_text(row) == "9 (0 gained, 9 lost, 0 as before; p item by item 0.004)"
    assert "item by item 0.004; the verdict's is over 8 clusters" in answers.changed_answers(row, task)
    for alone in (with_columns(row, clusters=450), with_columns(row, flips_p=None), with_columns(row, flips=0)):
        assert "item by item" not in answers.changed_text(alone) + answers.changed_answers(alone, task)


def test_changed_answers_stand_beside_every_unclear_difference(view: StudyView) -> None:
    held = [finding for found in arm_verdict.verdicts(view) for finding in found.unclear]
    counted = [finding for finding in held if finding.contrast.flips is not None]
    assert counted
    for finding in counted:
        row = finding.contrast
        assert f"{row.flips.total} of {row.n} " in finding.text
        assert f" changed their outcome ({row.flips.total / row.n:.0%})" in finding.text.replace("answers changed (",
            "completions changed their outcome (")  # fmt: skip


def test_the_overview_shows_the_largest_share_of_changed_answers(view: StudyView) -> None:
    for arm in view.others:
        rows = [view.contrast(arm.name, task.name, task.headline.name) for task in view.tasks]
        shares = [row.flips.total / row.n for row in rows if row is not None and row.flips.total is not None]
        assert answers.most_changed(view, arm).share == max(shares)
    none = replace(view, contrasts={key: with_columns(row, flips=None) for key, row in view.contrasts.items()})
    assert answers.most_changed(none, view.others[0])[:2] == (None, "not counted")


def test_page_and_terminal_count_the_same_changed_answers(study: StudyFolder, view: StudyView) -> None:
    page, out = html.render(view), io.StringIO()
    terminal.print_summary(study, Console(file=out, width=200))
    row = view.contrast(view.others[0].name, "probe_facts", "accuracy")
    assert row is not None
    assert f"{row.flips.total} of {row.n} answers changed" in page
    assert f"; {row.flips.total} of {row.n} answers changed" in out.getvalue()
