"""Published results that the report needs are read before a study asks anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.data.published import table
from crushtest.data.published.point import Point
from crushtest.errors import StoreError
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec

POINTS = [
    Point(
        source="paper", model="Big-7B", arm=arm, task="probe_facts", metric="accuracy", group="all", value=value,
        unit="rate", better="higher", compression_ratio=ratio, training=None, flags=(), reason="", comparable=True,
        note="few-shot", table="facts", line=2, metric_there="acc", group_there="",
    )
    for arm, value, ratio in (("dense", 0.8, 0.0), ("wanda:sparsity=0.5", 0.7, 0.5))
]  # fmt: skip


def test_a_damaged_table_stops_a_study_before_it_asks_anything(tmp_path: Path) -> None:
    damaged = tmp_path / "published.parquet"
    damaged.write_bytes(b"no table")
    content = {"model": "fake", "engine": "fake", "suite": ["probe_facts"], "limit": 3, "beside": str(damaged)}
    with pytest.raises(StoreError, match="published"):
        run_study(build_spec(content, where="test"), tmp_path / "study")
    assert not list((tmp_path / "study").glob("arms/*/answers/*"))
    run_study(build_spec(content | {"beside": []}, where="test"), tmp_path / "study")
    assert list((tmp_path / "study").glob("arms/*/answers/*"))


def test_a_finished_study_gains_a_source_and_its_page_is_rewritten(tmp_path: Path) -> None:
    content = {"model": "fake", "engine": "fake", "suite": ["probe_facts"], "limit": 40}
    content |= {"arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1", "recipe": None}]}
    run_study(build_spec(content, where="test"), tmp_path / "study")
    before = StudyFolder(tmp_path / "study").report.read_text(encoding="utf-8")
    damaged = tmp_path / "published.parquet"
    damaged.write_bytes(b"no table")
    stored = (tmp_path / "study" / "study.yaml").read_bytes()
    with pytest.raises(StoreError, match="published"):
        run_study(build_spec(content | {"beside": str(damaged)}, where="test"), tmp_path / "study")
    assert (tmp_path / "study" / "study.yaml").read_bytes() == stored
    assert not run_study(build_spec(content, where="test"), tmp_path / "study")
    source = str(table.write(POINTS, tmp_path / "good"))
    gains = build_spec(content | {"beside": source}, where="test")
    assert run_study(gains, tmp_path / "study")
    after = StudyFolder(tmp_path / "study").report.read_text(encoding="utf-8")
    assert "Change against compression" in after
    assert "Change against compression" not in before
    assert not run_study(gains, tmp_path / "study")
