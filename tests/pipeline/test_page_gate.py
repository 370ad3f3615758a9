"""The page shows the outcome of a gate: by the policy that is given, or by that of the study file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.errors import UsageError
from crushtest.gate import run_gate
from crushtest.pipeline.page import judged_by, write_page
from crushtest.report.summary import summary_lines
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec, read_spec
from support import synthetic_study

ARMS = ({"recipe": "magnitude:sparsity=0.1"}, {"recipe": "magnitude:sparsity=0.5"})
POLICY = {"name": "p", "rules": [{"metric": "accuracy", "task": "probe_facts", "margin": 0.05}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    root = tmp_path_factory.mktemp("gated") / "study"
    with synthetic_study.stand_ins():
        return synthetic_study.build(root, ["probe_facts", "probe_text"], arms=ARMS, replicates=50)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump({"rules": POLICY["rules"]}), encoding="utf-8")
    return str(path)


def test_the_page_says_what_the_gate_says_of_each_arm(
    folder: StudyFolder, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crushtest.gate.checks.refuse_untied", lambda folder: None)
    with synthetic_study.stand_ins():
        result, judged = run_gate(folder.root, policy), judged_by(folder, policy)
        assert judged is not None
        assert judged.outcome == result.outcome == "regression"
        assert judged.arms["magnitude:sparsity=0.5"].outcome == "regression"
        assert judged.arms["magnitude:sparsity=0.5"].broken == (("probe_facts", "accuracy"),)
        text = write_page(folder, policy=policy).read_text(encoding="utf-8")
        assert "policy p.yaml" in text
        assert "policy p" not in write_page(folder).read_text(encoding="utf-8")
        [head, *_] = summary_lines(folder, judged)
        assert "regression" in head


def test_a_summary_has_ten_lines_at_most_and_names_every_column(folder: StudyFolder) -> None:
    with synthetic_study.stand_ins():
        lines = summary_lines(folder)
    assert len(lines) == 6
    assert str(folder.report) in lines[0]
    assert {line.count(" |") for line in lines[2:]} == {5, lines[3].count(" |")}
    assert all("% of dense" in line for line in lines[4:])
    assert all("perplexity +" in line for line in lines[4:] if "language modelling" in line)


def test_a_summary_leaves_the_page_with_its_gate(folder: StudyFolder, policy: str) -> None:
    with synthetic_study.stand_ins():
        write_page(folder, policy=policy)
        result = CliRunner().invoke(app, ["report", str(folder.root), "--summary"])
        assert result.exit_code == 0, result.output
        assert "policy p.yaml" in folder.report.read_text(encoding="utf-8")
        assert CliRunner().invoke(app, ["report", str(folder.root)]).exit_code == 0
        assert "policy p.yaml" not in folder.report.read_text(encoding="utf-8")


def test_a_policy_that_is_gone_is_named_on_the_page_and_ends_nothing(folder: StudyFolder) -> None:
    content = yaml.safe_load(folder.specification.read_text(encoding="utf-8"))
    before = folder.specification.read_text(encoding="utf-8")
    folder.specification.write_text(yaml.safe_dump({**content, "policy": "gone.yaml"}), encoding="utf-8")
    try:
        with synthetic_study.stand_ins():
            judged = judged_by(folder)
            assert judged is not None
            assert "gone.yaml" in judged.problem
            assert "not known" in write_page(folder).read_text(encoding="utf-8")
            with pytest.raises(UsageError):
                judged_by(folder, "gone.yaml")
    finally:
        folder.specification.write_text(before, encoding="utf-8")


def test_a_policy_lies_beside_its_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules: []\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text("model: demo\npolicy: mine.yaml\n", encoding="utf-8")
    assert read_spec(tmp_path / "study.yaml").policy == str(tmp_path / "mine.yaml")


def test_the_policy_that_arms_stop_by_heads_the_page() -> None:
    with synthetic_study.stand_ins():
        suite = {"model": "demo", "suite": ["probe_facts"]}
        assert make_plan(build_spec({**suite, "stop_early": "standard"}, where="")).policy == "standard"
        both = {**suite, "stop_early": "standard", "policy": "strict"}
        assert make_plan(build_spec(both, where="")).policy == "strict"
        assert make_plan(build_spec(suite, where="")).policy is None
