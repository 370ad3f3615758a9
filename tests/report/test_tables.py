"""Tables for papers and programs: full precision in CSV, valid Markdown and LaTeX, nothing that a reader runs."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from crushtest.report import table_files, tables
from crushtest.report.study_view import read_study
from crushtest.stats.verdicts import INCONCLUSIVE
from crushtest.study.contrast_table import contrast_row
from crushtest.study.folder import StudyFolder


@pytest.fixture
def written(study: StudyFolder, tmp_path: Path) -> Path:
    tables.write_tables(study, tmp_path / "tables")
    return tmp_path / "tables"


def test_csv_holds_every_contrast_in_full(study: StudyFolder, written: Path) -> None:
    with (written / "contrasts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    contrasts = study.read_contrasts()
    assert len(rows) == len(contrasts)
    for row, contrast in zip(rows, contrasts, strict=True):
        assert row["difference"] == ("" if contrast.difference is None else repr(contrast.difference))
        assert list(row) == list(contrast_row(contrast))


def test_each_table_has_its_three_formats(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    for stem in ("overview", "probe_qa-measures", "probe_qa-groups", "probe_text-measures"):
        assert {f"{stem}.csv", f"{stem}.md", f"{stem}.tex"} <= names


def test_an_unmeasured_cell_says_so(written: Path) -> None:
    text = (written / "overview.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("|") and "pattern=2:4" in line)
    assert "not measured" in line


def test_a_caption_says_why_a_cell_cannot_be_tested(study: StudyFolder) -> None:
    view = read_study(study)
    before = {table.stem: table.caption for table in tables.tables(view)}
    assert "Cannot be tested" not in before["probe_facts-measures"]
    key, row = next((key, row) for key, row in view.contrasts.items() if row.task == "probe_facts" and key[-1] == "all")
    untested = {key: replace(row, verdict=INCONCLUSIVE)}
    captions = {
        table.stem: table.caption for table in tables.tables(replace(view, contrasts={**view.contrasts, **untested}))
    }
    assert "too few clusters among so many comparisons" in captions["probe_facts-measures"]
    assert "Cannot be tested" not in captions["probe_text-measures"]


def test_markdown_rows_have_as_many_cells_as_the_head(written: Path) -> None:
    for path in written.glob("*.md"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(counts) == 1, path.name


def test_latex_is_a_booktabs_table_with_everything_escaped(written: Path) -> None:
    text = (written / "overview.tex").read_text(encoding="utf-8")
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    assert not re.search(r"(?<!\\)[%#_]", body)
    assert "−" not in text


def test_the_overview_for_papers_has_dense_sizes_and_fits_two_columns(written: Path, study: StudyFolder) -> None:
    text = (written / "overview.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1
    widths = [float(width) for width in re.findall(r"p\{([\d.]+)\\textwidth\}", text)]
    assert sum(widths) + len(widths) * 4 / 400 <= 1.0001  # 2pt on both sides of a column, of 400pt at least
    with (written / "overview.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows[0]) == len(widths)
    dense = {(row.task, row.metric): row for row in study.read_estimates() if (row.arm, row.group) == ("dense", "all")}
    accuracy = dense["probe_facts", "accuracy"].value
    assert rows[1][0] == "dense"
    assert f"{accuracy:.1%}" in rows[1]
    assert all("MB" in row[1] for row in rows[1:])


def test_latex_escapes_what_would_be_a_command() -> None:
    table = table_files.Table("t", "50% of \\input{x}", ("a",), (("\\input{/etc/passwd} & $x$ #1_2~^",),))
    from io import StringIO

    out = StringIO()
    table_files.write_latex(table, out)
    assert r"\input" not in out.getvalue()
    assert r"\textbackslash{}input\{/etc/passwd\} \& \$x\$ \#1\_2\textasciitilde{}\textasciicircum{}" in out.getvalue()


def test_a_name_that_a_spreadsheet_would_run_is_made_inert() -> None:
    from io import StringIO

    out = StringIO()
    table_files.write_csv(
        table_files.Table("t", "", ("a",), (("=HYPERLINK(1)",), ("−1.5 [−2.0, −1.0]",), ("@x",))), out
    )
    assert out.getvalue().splitlines() == ["a", "'=HYPERLINK(1)", '"-1.5 [-2.0, -1.0]"', "'@x"]


def test_hostile_names_stay_inside_their_cell(hostile: StudyFolder, tmp_path: Path) -> None:
    tables.write_tables(hostile, tmp_path)
    text = (tmp_path / "probe_qa-groups.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert" in text


def test_captions_name_the_variants_of_one_calibration_draw(study: StudyFolder) -> None:
    from crushtest.report.study_view import read_study

    for table in tables.tables(read_study(study)):
        assert table.caption.endswith("wanda:sparsity=0.5 and wanda:pattern=2:4.")
