"""docs/statistics.md promises that one contrast can be computed again from the stored answers: its script does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crushtest.pipeline.run import run_study
from crushtest.study.contrast_table import contrast_row
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = tmp_path_factory.mktemp("hand") / "s"
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    content = {"model": "fake", "engine": "fake", "arms": arms, "suite": ["probe_facts"]}
    run_study(build_spec(content, where="test"), folder)
    return StudyFolder(folder)


def test_the_script_of_the_page_gives_the_row_of_the_study(study: StudyFolder, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "crushtest" not in code
    script = tmp_path / "by_hand.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, str(script), str(study.root), "other", "probe_facts"]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    hand = {name: float(value) for name, value in (line.split() for line in printed.splitlines())}
    (row,) = [row for row in study.read_contrasts() if (row.metric, row.group, row.arm) == ("accuracy", "all", "other")]
    assert row.n == row.clusters == 152
    flat = contrast_row(row)
    for name in ("dense", "value", "difference", "p", "low", "high", "flips_up", "flips_down"):
        assert flat[name] == pytest.approx(hand[name], abs=1e-9), name
    assert row.flips.up
    assert row.flips.down
