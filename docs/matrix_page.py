"""Write the tables and figures of docs/studies/matrix/ from a finished run of studies/matrix.yaml.

python docs/matrix_page.py studies/matrix

`contrasts.csv` holds the contrasts against dense of all items, of BBQ's categories and of UnQover's subjects, in six
digits; docs/paper_page.py reads it. The folder's README.md is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from crushtest.records import DENSE
from crushtest.report.figures.figures import task_figures, write_all
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.table_files import write_markdown
from crushtest.report.tables import tables
from crushtest.study.folder import StudyFolder

TARGET = Path(__file__).parent / "studies" / "matrix"
COLUMNS = [
    "arm",
    "task",
    "metric",
    "group",
    "dense",
    "value",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "verdict",
    "n",
    "clusters",
]
DIGITS = 6
FIGURES = "-compression"


def write_contrasts(folder: StudyFolder, target: Path) -> None:
    rows = pl.read_parquet(folder.contrasts).filter(pl.col("against") == DENSE)
    kept = rows.filter(
        (pl.col("group") == "all")
        | pl.col("group").str.starts_with("category=")
        | pl.col("metric").str.starts_with("subject_eta")
    )
    floats = [name for name in COLUMNS if kept.schema[name] == pl.Float64]
    kept.select(COLUMNS).with_columns(pl.col(floats).round_sig_figs(DIGITS)).write_csv(target / "contrasts.csv")


def write_tables(study: StudyView, target: Path) -> None:
    with (target / "tables.md").open("w", encoding="utf-8") as file:
        file.write("# Tables of the matrix\n\n<!-- Made by docs/matrix_page.py; do not edit. -->\n")
        for table in tables(study):
            if table.stem == "overview" or table.stem.endswith("-groups"):
                file.write(f"\n## {table.stem}\n\n")
                write_markdown(table, file)


def main() -> None:
    folder = StudyFolder(Path(sys.argv[1]))
    study = read_study(folder)
    TARGET.mkdir(parents=True, exist_ok=True)
    write_contrasts(folder, TARGET)
    write_tables(study, TARGET)
    figures = [figure for task in study.tasks for figure in task_figures(study, task) if figure.key.endswith(FIGURES)]
    write_all(figures, TARGET, (".svg",))


if __name__ == "__main__":
    main()
