"""What cannot be tested is counted and named once a task, and is neither a difference nor the absence of one."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from crushtest.report import arm_verdict, card, terminal
from crushtest.report.harm_order import least_harm_first
from crushtest.report.page import html, matrix
from crushtest.report.study_view import read_study
from crushtest.report.summary import could_miss
from crushtest.report.untested import untested
from crushtest.results import Contrast, Interval, Intervals
from crushtest.study.folder import StudyFolder

ARM = "wanda:sparsity=0.5"
FEW = "cannot be tested with 5 clusters"


@pytest.fixture
def few(study: StudyFolder, tmp_path: Path) -> StudyFolder:
    """The study with groups of one attribute, and one headline of one arm, in too few clusters."""
    shutil.copytree(study.root, tmp_path / "s")
    copy = StudyFolder(tmp_path / "s")

    def is_small(row: Contrast) -> bool:
        if row.metric == "profanity_rate":
            return row.group.startswith("religion=")
        return (row.arm, row.metric, row.group) == (ARM, "accuracy", "all")

    rows = [
        replace(row, verdict="inconclusive", reason=FEW, clusters=5, mde=None) if is_small(row) else row
        for row in copy.read_contrasts()
    ]
    copy.write_results(copy.read_estimates(), rows)
    return copy


def test_comparisons_without_a_test_are_counted_and_named_by_task(few: StudyFolder) -> None:
    view = read_study(few)
    task = next(task for task in view.tasks if task.name == "probe_prompts")
    total = sum(row.task == "probe_prompts" for row in view.contrasts.values())
    text = untested(view, task, view.others).text
    assert text.startswith(f"15 of {total} comparisons cannot be tested. Fewer than six clusters (15): religion: ")
    assert text.endswith("and 1 other group.")
    one = untested(view, task, (view.others[0],)).text
    assert one.startswith("5 of ")
    other = next(task for task in view.tasks if task.name == "probe_text")
    assert untested(view, other, view.others).text == ""


def test_page_terminal_and_card_say_it(few: StudyFolder) -> None:
    view, out = read_study(few), io.StringIO()
    terminal.print_summary(few, Console(file=out, width=200))
    assert "comparisons cannot be tested (fewer than six clusters: 15)" in out.getvalue()
    assert html.render(view).count("Fewer than six clusters (15): religion") == 1
    assert "Fewer than six clusters (5): religion" in card.write_card(few)[0].read_text("utf-8")


def test_a_headline_without_a_test_is_not_known(few: StudyFolder) -> None:
    view = read_study(few)
    found = next(found for found in arm_verdict.verdicts(view) if found.arm.name == ARM)
    assert f"accuracy: {FEW}" in found.undefined
    assert "accuracy" not in [finding.subject for finding in (*found.worse, *found.better, *found.unclear)]
    overview = matrix.overview(view)
    place = [column.task.name for column in overview.columns].index("probe_facts")
    cell = next(row.cells[place] for row in overview.rows if row.arm.name == ARM)
    assert (cell.tone, cell.interval, cell.note) == ("undefined", "cannot be tested", "")


def test_groups_without_a_test_are_no_comparisons(study: StudyFolder, few: StudyFolder) -> None:
    def looked(folder: StudyFolder) -> int:
        summary = arm_verdict.verdicts(read_study(folder))[0].groups_summary
        return int(summary.split(" of ")[1].split()[0])

    assert looked(study) - looked(few) == 5


def test_a_collapse_that_cannot_be_tested_is_no_least_harm(study: StudyFolder) -> None:
    view = read_study(study)
    [task] = [task for task in view.tasks if task.name == "probe_text"]
    calm, collapsed = view.others[:2]
    quiet = Intervals(at95=Interval(-0.5, 0.5), at90=Interval(-0.4, 0.4), method="bootstrap")
    rows = dict(view.contrasts)
    for key, row in rows.items():
        if row.arm in (calm.name, collapsed.name):
            rows[key] = replace(row, verdict="no clear difference", intervals=quiet, caution=None)
    key = (collapsed.name, task.name, task.headline.name, "all")
    jump = Intervals(at95=Interval(150, 260), at90=Interval(160, 250), method="bootstrap")
    rows[key] = replace(
        rows[key], dense=20.0, value=220.0, difference=200.0, intervals=jump, verdict="inconclusive", reason="few"
    )
    made = replace(view, contrasts=rows)
    found = {each.arm.name: each for each in arm_verdict.verdicts(made) if each.arm.name in (calm.name, collapsed.name)}
    assert found[calm.name].status == "no clear difference"
    assert "perplexity cannot be tested" in found[collapsed.name].status
    assert [each.arm.name for each in least_harm_first(made, list(found.values()))] == [calm.name, collapsed.name]
    assert "any change in perplexity" in could_miss(made, found[collapsed.name])


def test_a_change_beyond_what_dense_could_lose_is_no_size_to_miss(study: StudyFolder) -> None:
    view = read_study(study)
    task = next(task for task in view.headed if task.headline.better == "higher" and task.headline.unit == "rate")
    arm = view.others[0]
    key = (arm.name, task.name, task.headline.name, "all")
    row = replace(view.contrasts[key], verdict="no clear difference", caution=None, dense=0.08, value=0.07, mde=0.5)
    for mde, words in ((0.5, "any harm in"), (0.05, "5.0 points in")):
        made = replace(view, contrasts=view.contrasts | {key: replace(row, mde=mde)})
        [verdict] = [each for each in arm_verdict.verdicts(made) if each.arm.name == arm.name]
        assert words in could_miss(made, verdict)
