"""action.yml: its gate step, run as a runner runs it, judges a study and writes the job's summary."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crushtest.pipeline.from_python import run_study

ACTION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text(encoding="utf-8"))
STEPS = {step.get("name"): step for step in ACTION["runs"]["steps"]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    content = {"model": "fake", "engine": "fake", "arms": arms, "suite": ["probe_facts"], "limit": 20}
    return run_study(content, tmp_path_factory.mktemp("action") / "a study").path


def gate(folder: Path, study: Path, margin: float) -> subprocess.CompletedProcess[str]:
    """Run the gate step in `folder`, with a `crushtest` of this interpreter on the path."""
    command = folder / "bin" / "crushtest"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m crushtest "$@"\n')
    command.chmod(0o755)
    policy = folder / "policy.yaml"
    policy.write_text(f"rules: [{{metric: accuracy, margin: {margin}, min_items: 1, min_clusters: 1}}]")
    values = {"inputs.study": str(study), "inputs.policy": str(policy), "inputs.junit": "gate.xml"}
    given = {name: values[text.strip("${} ")] for name, text in STEPS["gate"]["env"].items()}
    environment = os.environ | given | {"GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    environment["PATH"] = f"{command.parent}{os.pathsep}{environment['PATH']}"
    bash = shutil.which("bash") or pytest.skip("needs bash")
    script = folder / "step.sh"
    script.write_text(STEPS["gate"]["run"])
    return subprocess.run(  # as a runner starts a step of `shell: bash`
        [bash, "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_gate_step_ends_as_the_gate_and_writes_a_summary(study: Path, tmp_path: Path) -> None:
    result = gate(tmp_path, study, margin=0.15)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "gate: passed" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert (tmp_path / "gate.xml").read_text(encoding="utf-8").startswith("<?xml")


def test_the_gate_step_fails_and_still_writes_a_summary(study: Path, tmp_path: Path) -> None:
    result = gate(tmp_path, study, margin=2)  # no rate can fall by so much: nothing is shown
    assert result.returncode == 4, result.stdout + result.stderr
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "gate: inconclusive" in summary
    assert "accuracy" in summary


def test_every_input_of_the_action_is_used() -> None:
    used = yaml.safe_dump(ACTION["runs"])
    assert all(f"inputs.{name} " in used for name in ACTION["inputs"])
