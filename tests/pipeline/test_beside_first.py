"""Published results that the report needs are read before a study asks anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import StoreError
from crushtest.pipeline.run import run_study
from crushtest.study.spec import build_spec


def test_a_damaged_table_stops_a_study_before_it_asks_anything(tmp_path: Path) -> None:
    damaged = tmp_path / "published.parquet"
    damaged.write_bytes(b"no table")
    content = {"model": "fake", "engine": "fake", "suite": ["probe_facts"], "limit": 3, "beside": str(damaged)}
    with pytest.raises(StoreError, match="published"):
        run_study(build_spec(content, where="test"), tmp_path / "study")
    assert not list((tmp_path / "study").glob("arms/*/answers/*"))
    run_study(build_spec(content | {"beside": []}, where="test"), tmp_path / "study")
    assert list((tmp_path / "study").glob("arms/*/answers/*"))
