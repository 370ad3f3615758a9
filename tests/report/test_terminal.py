"""In a terminal: a table where there is one, plain lines elsewhere, markup of names never obeyed."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from crushtest.errors import UnknownName
from crushtest.report import formats, terminal
from crushtest.report.page import html
from crushtest.report.study_view import read_study
from crushtest.study.folder import StudyFolder


def printed(study: StudyFolder, *, task: str | None = None, **settings: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, **settings)  # type: ignore[arg-type]
    terminal.print_contrasts(study, console, task=task)
    return out.getvalue()


def test_without_a_terminal_the_summary_is_plain_lines(study: StudyFolder) -> None:
    text = printed(study)
    assert "\x1b" not in text
    assert "│" not in text
    contrast = next(
        c
        for c in study.read_contrasts()
        if (c.arm, c.metric, c.group) == ("magnitude:sparsity=0.5", "perplexity", "all")
    )
    difference = formats.show_difference(contrast.difference, "perplexity")
    interval = formats.show_interval(contrast.intervals.at95.low, contrast.intervals.at95.high, "perplexity")
    assert f"  perplexity (probe_text, lower is better): ↑ {difference} ({interval}), worse" in text.splitlines()


def test_in_a_terminal_the_summary_is_a_coloured_table(study: StudyFolder) -> None:
    text = printed(study, force_terminal=True, color_system="truecolor")
    assert "\x1b[" in text
    assert "│" in text
    assert "not measured" in text


def test_a_coloured_table_names_the_task_of_each_column(study: StudyFolder) -> None:
    heading = printed(study, force_terminal=True, color_system="truecolor").partition("┡")[0]
    assert [task.name for task in read_study(study).tasks if task.name not in heading] == []


def test_no_color_means_plain_lines_even_in_a_terminal(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(study, force_terminal=True)
    assert "\x1b" not in text
    assert "│" not in text


def test_an_unmeasured_pair_is_said_to_be(study: StudyFolder) -> None:
    lines = printed(study).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("wanda:pattern=2:4"))
    assert "  profanity (probe_prompts, lower is better): not measured" in lines[start:]


def test_compare_prints_every_contrast_of_a_task(study: StudyFolder) -> None:
    text = printed(study, task="probe_qa")
    expected = sum(contrast.task == "probe_qa" for contrast in study.read_contrasts())
    *lines, draws = text.splitlines()
    assert len(lines) == expected + 1
    assert draws.startswith("One calibration draw: ")


def test_an_unknown_task_names_the_nearest(study: StudyFolder) -> None:
    with pytest.raises(UnknownName, match="did you mean 'probe_qa'"):
        printed(study, task="probe_qq")


def test_markup_in_names_is_printed_and_not_obeyed(hostile: StudyFolder) -> None:
    for settings in ({}, {"force_terminal": True}):
        text = printed(hostile, task="probe_qa", **settings)
        assert "<img src=x" in text or "<img" in text.replace("\n", "")
        assert "\x07" not in text


def test_an_arm_that_runs_differently_from_dense_is_marked(study: StudyFolder, tmp_path: Path) -> None:
    shutil.copytree(study.root, tmp_path / "s")
    copy = StudyFolder(tmp_path / "s")
    rows = [
        replace(row, compares="deployment delta" if row.arm == "wanda:sparsity=0.5" else "compression effect")
        for row in copy.read_contrasts()
    ]
    copy.write_results(copy.read_estimates(), rows)
    marked = [line for line in printed(copy).splitlines() if line.endswith(": a deployment delta.")]
    assert [line.partition(" ")[0] for line in marked] == ["wanda:sparsity=0.5"]
    assert "delta" in printed(copy, force_terminal=True, color_system="truecolor")
    page = html.render(read_study(copy))
    assert page.count("a deployment delta.</small>") == 1


def test_the_arms_of_one_calibration_draw_are_named_below_the_contrasts(study: StudyFolder) -> None:
    last = printed(study, task="probe_qa").splitlines()[-1]
    assert last == "One calibration draw: wanda:sparsity=0.5 and wanda:pattern=2:4."


def test_the_summary_says_beside_an_arm_that_it_is_one_calibration_draw(study: StudyFolder) -> None:
    heads = [line for line in printed(study).splitlines() if line.startswith(("wanda", "magnitude"))]
    assert len(heads) == 4
    assert all(("One calibration draw." in line) == line.startswith("wanda") for line in heads)
