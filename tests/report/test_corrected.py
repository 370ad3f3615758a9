"""Corrected differences in the report: beside the scorer's row, in findings and in the terminal."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from crushtest.pipeline.label import choose, draw_sheet, read_labels
from crushtest.records import DENSE
from crushtest.report import terminal
from crushtest.report.findings import headline_finding
from crushtest.report.page.html import render
from crushtest.report.study_view import StudyView, read_study
from crushtest.stats.labelled import Corrected
from crushtest.study.corrections import detectable_with_labels
from crushtest.study.folder import StudyFolder
from support import synthetic_study

ARM = "wanda:sparsity=0.5"
METRIC = "profanity_rate"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study whose scorer raises the arm's profanity by words that people do not mind."""
    root = tmp_path_factory.mktemp("corrected") / "study"
    with synthetic_study.stand_ins():
        folder = synthetic_study.build(root, ["probe_prompts"], arms=({"recipe": ARM},), replicates=50)
        study = read_study(folder)
        labelling = choose(folder, study.plan, task=None, scorer="profanity", arm=None)
        draw_sheet(folder, labelling, pairs=80, seed=0)
        text = (labelling.root / "sheet.csv").read_text("utf-8-sig")
        lines = [f"{row['pair']},no,no" for row in csv.DictReader(io.StringIO(text, newline=""))]
        sheet = root.parent / "filled.csv"
        sheet.write_text("\n".join(["pair,label_first,label_second", *lines]))
        read_labels(labelling, sheet)
        return folder


def corrected(study: StudyView) -> Corrected:
    correction = study.corrections[0]
    assert (correction.arm, correction.metric) == (ARM, METRIC)
    assert isinstance(correction.result, Corrected)
    return correction.result


def test_people_who_see_no_harm_correct_a_scorer_s_rise_to_none(made: StudyFolder) -> None:
    study = read_study(made)
    contrast = study.contrast(ARM, "probe_prompts", METRIC)
    assert contrast is not None
    result = corrected(study)
    assert result.scored == pytest.approx(contrast.difference)
    assert result.scored > 0
    assert result.difference == 0
    assert result.low < 0 < result.high
    assert result.arm.false_negative.value is None
    assert result.arm.false_positive.value == pytest.approx(contrast.value)


def test_the_detectable_difference_counts_the_scorer_s_error(made: StudyFolder) -> None:
    study = read_study(made)
    stored = next(row for row in made.read_contrasts() if row.metric == METRIC and row.group == "all")
    shown = study.contrast(ARM, "probe_prompts", METRIC)
    assert shown is not None
    assert stored.mde is not None
    assert shown.mde == max(corrected(study).mde, stored.mde)


@pytest.mark.parametrize(("mde", "expected"), [(0.7, 0.7), (0.0001, None), (1.2, "none")])
def test_labels_raise_the_detectable_difference_and_never_lower_it(
    made: StudyFolder, mde: float, expected: float | str | None
) -> None:
    study = read_study(made)
    correction = study.corrections[0]
    stored = next(row for row in made.read_contrasts() if row.metric == METRIC and row.group == "all")
    labelled = replace(correction, result=replace(corrected(study), mde=mde))
    (row,) = detectable_with_labels([stored], [labelled])
    assert row.mde == {None: stored.mde, "none": None}.get(expected, expected)


def test_page_terminal_and_finding_show_the_corrected_difference(made: StudyFolder) -> None:
    study = read_study(made)
    result = corrected(study)
    words = f"by {result.labelled} labelled pairs of {result.items}"
    page = render(study)
    assert words in page
    assert "Corrected by people" in page
    console = Console(file=io.StringIO(), width=200)
    terminal.print_summary(made, console)
    terminal.print_contrasts(made, console, "probe_prompts")
    assert console.file.getvalue().count(words) == 2  # type: ignore[attr-defined]
    finding = headline_finding(study, study.others[0], study.tasks[0], "all")
    assert finding is not None
    assert words in finding.text


def test_labels_of_other_answers_correct_nothing_and_say_so(made: StudyFolder, tmp_path: Path) -> None:
    folder = StudyFolder(Path(shutil.copytree(made.root, tmp_path / "s")))
    log = folder.scores(ARM, "profanity", "probe_prompts")
    items = [item.id for item in folder.read_items("probe_prompts")]
    scores = folder.scores(ARM, "profanity", "probe_prompts").read(items)
    log.reopen()
    log.final.unlink(missing_ok=True)
    again = folder.scores(ARM, "profanity", "probe_prompts")
    again.final.with_suffix(".jsonl").unlink(missing_ok=True)
    for place, item in enumerate(items):
        again.append(item, scores[item] if place else scores[items[1]])
    again.finish(items)
    (correction,) = read_study(folder).corrections
    assert "after they were labelled" in str(correction.result)
    assert "after they were labelled" in render(read_study(folder))


def test_a_study_without_labels_says_nothing_of_them(study: StudyFolder) -> None:
    view = read_study(study)
    assert view.corrections == ()
    assert "Corrected by people" not in render(view)
    assert DENSE in {arm.name for arm in view.arms}
