"""A query reads the study's tables, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import UsageError
from crushtest.results import Estimate
from crushtest.study.folder import StudyFolder
from crushtest.study.query import ask


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A folder with one of a study's tables; its name has what SQL and file names quote."""
    folder = StudyFolder(tmp_path / "it's a [study]")
    folder.root.mkdir()
    same = {"task": "t", "metric": "m", "group": "all", "low": None, "high": None, "n": 8, "n_unscored": 0}
    folder.write_results(
        [Estimate(arm=arm, value=value, better="lower", **same) for arm, value in (("dense", 0.25), ("half", 0.5))], []
    )
    folder.contrasts.unlink()
    return folder


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT arm FROM estimates WHERE value > 0.3",
        "WITH high AS (SELECT * FROM estimates WHERE value > 0.3) SELECT arm FROM high;",
        "FROM estimates SELECT arm ORDER BY value DESC LIMIT 1",
    ],
)
def test_a_query_answers_from_the_tables(sql: str, study: StudyFolder) -> None:
    assert ask(study, sql).to_dicts() == [{"arm": "half"}]


def test_a_query_answers_from_a_folder_named_from_here(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.root.parent)
    assert ask(StudyFolder(Path(study.root.name)), "SELECT count(*) AS n FROM estimates").rows == [(2,)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "the SQL is empty"),
        ("  -- nothing", "the SQL is empty"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("COPY (SELECT 1) TO '{table}'", "only SELECT .*got COPY"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{table}'", "only SELECT .*got EXPLAIN"),
        ("CREATE TABLE t AS SELECT 1", "only SELECT .*got CREATE"),
        ("SELECT * FROM read_csv('{elsewhere}')", "elsewhere.csv"),
        ("SELEKT 1", "SELEKT"),
    ],
)
def test_a_query_changes_nothing_and_reads_no_other_file(sql: str, said: str, study: StudyFolder) -> None:
    elsewhere = study.root.parent / "elsewhere.csv"
    elsewhere.write_text("secret\n1\n")
    before = study.estimates.read_bytes()
    written = str(study.estimates).replace("'", "''")
    with pytest.raises(UsageError, match=said) as raised:
        ask(study, sql.format(table=written, elsewhere=elsewhere))
    assert "\n" not in str(raised.value)
    assert study.estimates.read_bytes() == before


@pytest.mark.parametrize(("table", "is_known"), [("contrasts", True), ("noise", True), ("contrast", False)])
def test_a_table_that_the_study_lacks_so_far_is_named_as_such(table: str, is_known: bool, study: StudyFolder) -> None:
    with pytest.raises(UsageError) as raised:
        ask(study, f"SELECT * FROM {table}")
    assert (f"the study has no {table} yet" in str(raised.value)) is is_known


@pytest.mark.parametrize(
    "sql", ["SELECT '\ud800'", "\udcff", "SELECT 1 \x00", "SELECT '\x1b[2J' FROM nothing", "x" * 10_000]
)
def test_sql_that_is_no_text_is_one_printable_line(study: StudyFolder, sql: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(study, sql)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
