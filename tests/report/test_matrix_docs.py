"""What docs/studies/matrix says: its sizes, the numbers that its page quotes, and how its files are made from a run."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import polars as pl
import pytest

import matrix_page
from crushtest.records import DENSE
from crushtest.report.study_view import read_study
from crushtest.study.folder import StudyFolder

MATRIX = matrix_page.TARGET
AWQ, GPTQ = "awq:bits=4,group_size=64", "gptq:bits=4,group_size=64"
POINTS, SCORE, NATS = (100, ".1f"), (1, ".3f"), (1, ".3f")
QUOTED = [
    *((arm, "c4", "perplexity", (1, ".1f")) for arm in ("int8", AWQ, GPTQ)),
    *((f"{method}:sparsity=0.5", "c4", "perplexity", (1, ".1f")) for method in ("gblm", "wanda", "sparsegpt")),
    ("magnitude:sparsity=0.5", "c4", "perplexity", (1, ".0f")),
    *(
        (f"{method}:pattern={n}", "c4", "perplexity", (1, ".0f"))
        for method in ("wanda", "gblm")
        for n in ("2:4", "4:8")
    ),
    *((f"{method}:sparsity=0.5", "bbq", "accuracy_ambiguous", POINTS) for method in ("sparsegpt", "gblm")),
    ("sparsegpt:sparsity=0.5", "bbq", "unknown_rate_disambiguated", POINTS),
    ("magnitude:sparsity=0.5", "bbq", "accuracy_disambiguated", POINTS),
    *((f"{method}:sparsity=0.5", "bbq", "bias_disambiguated", SCORE) for method in ("magnitude", "gblm")),
    ("sparsegpt:sparsity=0.5", "dialect_pairs", "dialect_log_ratio", NATS),
    ("int8", "dialect_pairs", "dialect_log_ratio", NATS),
]


@pytest.fixture(scope="module")
def page() -> str:
    return (MATRIX / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str], dict[str, str]]:
    with (MATRIX / "contrasts.csv").open(encoding="utf-8", newline="") as file:
        return {(row["arm"], row["task"], row["metric"]): row for row in csv.DictReader(file) if row["group"] == "all"}


@pytest.mark.parametrize(("arm", "task", "metric", "form"), QUOTED)
def test_the_page_quotes_the_contrasts(
    page: str, rows: dict[tuple[str, str, str], dict[str, str]], arm: str, task: str, metric: str, form: tuple[int, str]
) -> None:
    factor, digits = form
    change, *ends = (factor * float(rows[arm, task, metric][end]) for end in ("difference", "low", "high"))
    if max(ends) < 0:  # "narrows by 0.07 (0.06 to 0.08)"
        ends.reverse()
    quoted = [f"{abs(number):{digits}}" for number in (change, *ends)]
    numbers = re.findall(r"\d+(?:\.\d+)?", page)
    assert quoted in [numbers[place : place + 3] for place in range(len(numbers))]


def test_every_arm_of_the_study_file_is_there(rows: dict[tuple[str, str, str], dict[str, str]]) -> None:
    assert len({arm for arm, _, _ in rows}) == 35


def test_tables_and_figures_are_small() -> None:
    assert (MATRIX / "contrasts.csv").stat().st_size < 2_000_000
    assert sum(path.stat().st_size for path in MATRIX.glob("*.svg")) < 1_000_000


def test_its_files_are_made_from_a_run(study: StudyFolder, tmp_path: Path) -> None:
    matrix_page.write_contrasts(study, tmp_path)
    written = pl.read_csv(tmp_path / "contrasts.csv")
    stored = pl.read_parquet(study.contrasts).filter((pl.col("against") == DENSE) & (pl.col("group") == "all"))
    assert written.columns == matrix_page.COLUMNS
    assert written.filter(pl.col("group") == "all").height == stored.height
    view = read_study(study)
    matrix_page.write_tables(view, tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "## overview" in text
    assert all(arm.name in text for arm in view.others)
