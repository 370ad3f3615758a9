"""Studies from Python: `run_study` takes what a study file says, `Study` gives the tables as frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import crushtest
from crushtest.errors import StoreError, UsageError

STUDY: dict[str, Any] = {
    "model": "fake",
    "engine": "fake",
    "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
    "suite": ["probe_facts"],
    "limit": 24,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> crushtest.Study:
    return crushtest.run_study(STUDY, tmp_path_factory.mktemp("python") / "study")


def test_a_study_of_a_dictionary_gives_its_contrasts_as_a_frame(study: crushtest.Study) -> None:
    row = study.contrasts.row(by_predicate=(pl.col("metric") == "accuracy") & (pl.col("group") == "all"), named=True)
    assert (row["arm"], row["against"], row["n"]) == ("other", "dense", 24)
    values = {
        row["arm"]: row["value"]
        for row in study.estimates.filter((pl.col("metric") == "accuracy") & (pl.col("group") == "all")).to_dicts()
    }
    assert row["difference"] == pytest.approx(values["other"] - values["dense"])
    assert study.report.is_file()


def test_without_repeats_the_noise_is_a_frame_without_rows(study: crushtest.Study) -> None:
    assert study.noise.is_empty()
    assert {"arm", "metric", "low", "high"} <= set(study.noise.columns)


def test_a_study_file_gives_the_tables_of_its_dictionary(study: crushtest.Study, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    again = crushtest.run_study(tmp_path / "study.yaml", tmp_path / "study")
    assert again.contrasts.equals(study.contrasts)


def test_what_is_no_study_is_one_of_our_errors(study: crushtest.Study, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        crushtest.Study(tmp_path)
    with pytest.raises(UsageError, match="modle"):
        crushtest.run_study({"modle": "fake"}, tmp_path / "study")


def test_a_changed_table_is_refused(study: crushtest.Study, tmp_path: Path) -> None:
    changed = crushtest.run_study(STUDY, tmp_path / "study")
    content = bytearray((changed.path / "contrasts.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (changed.path / "contrasts.parquet").write_bytes(content)
    with pytest.raises(StoreError, match=r"contrasts\.parquet"):
        _ = changed.contrasts
