"""A plain installation has no torch: stored studies and answers made elsewhere are compared and judged without it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from crushtest.cli.unexpected import RUNS_MODELS
from support.without_torch import BARRED, without_torch

ROOT = Path(__file__).parents[2]


def test_the_extra_is_what_the_message_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line.partition(">=")[0] for line in project["optional-dependencies"]["hf"]] == [*RUNS_MODELS]
    assert not [line for line in project["dependencies"] if line.partition(">=")[0] in RUNS_MODELS]


def test_a_study_is_made_of_answers_and_judged_without_torch(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "model: fake\nengine: fake\narms: [{name: other, model: fake, engine: 'fake:seed=1'}]\n"
        "suite: [probe_facts]\nlimit: 20\n"
    )
    (tmp_path / "policy.yaml").write_text("rules: [{metric: accuracy, margin: 1, min_items: 1, min_clusters: 1}]")
    *others, gate = without_torch(
        tmp_path,
        ["run", "--study", "study.yaml", "--out", "study"],
        ["compare", "study"],
        ["report", "study"],
        ["verify", "study"],
        ["card", "study"],
        ["query", "study", "SELECT count(*) FROM contrasts"],
        ["list", "tasks"],
        ["doctor"],
        ["gate", "study", "--policy", "policy.yaml", "--json"],
        lacking=BARRED,
    )
    for each in others:
        assert each.returncode == 0, (each.args, each.stderr)
    assert gate.returncode in (0, 3, 4), gate.stderr
    assert json.loads(gate.stdout)


@pytest.mark.parametrize("command", [["run", "demo", "-r", "nf4"], ["compress", "demo", "-r", "nf4"]])
def test_what_runs_a_model_names_the_extra(tmp_path: Path, command: list[str]) -> None:
    [result] = without_torch(tmp_path, [*command, "-o", "x"], lacking=BARRED)
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert "pip install 'crushtest[hf]'" in line
    assert not list(tmp_path.iterdir())
