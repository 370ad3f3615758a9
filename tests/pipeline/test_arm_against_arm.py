"""Any arm against any other: the numbers of a study of the two, asked for by `compare --arms`, kept, taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import binomtest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.pipeline.run import run_study
from crushtest.records import DENSE
from crushtest.results import Contrast
from crushtest.study.chain import problems
from crushtest.study.contrast_table import contrast_row
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec

SUITE = [{"probe_facts": {"limit": 40}}, {"probe_text": {"limit": 12}}]
ARMS = [{"name": name, "model": name, "engine": f"fake:seed={seed}"} for seed, name in enumerate("abcd", start=1)]
OF_THE_PAIR = {"arm", "against", "compares", "reason", "caution"}
"""Columns that hold an arm's name, or words with one."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four arms; b was compared with a when the study ran."""
    arms = [ARMS[0], ARMS[1] | {"against": "a"}, *ARMS[2:]]
    root = tmp_path_factory.mktemp("arms") / "study"
    run_study(build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": SUITE}, where="test"), root)
    return root


def rows_of(root: Path, arm: str, against: str) -> dict[tuple[str, str, str], Contrast]:
    rows = StudyFolder(root).read_contrasts()
    return {(row.task, row.metric, row.group): row for row in rows if (row.arm, row.against) == (arm, against)}


def pairs_of(root: Path) -> set[tuple[str, str]]:
    pairs = {(row.arm, row.against) for row in StudyFolder(root).read_contrasts()}
    return {(arm, against) for arm, against in pairs if against != DENSE}


def crushtest(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    return f"{result.exit_code} {result.output} {result.exception or ''}"


def test_arm_against_arm_is_the_contrast_of_a_study_of_the_two(study: Path, tmp_path: Path) -> None:
    """The other study's dense is a, so that nothing of arms against arms is computed there."""
    content = {"model": "a", "engine": "fake:seed=1", "arms": [ARMS[1]], "suite": SUITE}
    run_study(build_spec(content, where="test"), tmp_path / "two")
    alone, within = rows_of(tmp_path / "two", "b", DENSE), rows_of(study, "b", "a")
    assert alone.keys() == within.keys()
    assert len(alone) > 15
    for key, row in within.items():
        ours, theirs = (
            {name: value for name, value in contrast_row(each).items() if name not in OF_THE_PAIR}
            for each in (row, alone[key])
        )
        assert ours == theirs


def test_arm_against_arm_is_what_a_reader_computes_from_the_answers(study: Path) -> None:
    folder = StudyFolder(study)
    items = folder.read_items("probe_facts")
    right = {
        arm: np.array([np.argmax(answers[item.id].logprobs) == item.gold for item in items])
        for arm in ("a", "b")
        for answers in [folder.answers(arm, "probe_facts", "choices").read()]
    }
    row = rows_of(study, "b", "a")["probe_facts", "accuracy", "all"]
    gained, lost = int((right["b"] & ~right["a"]).sum()), int((right["a"] & ~right["b"]).sum())
    assert (row.dense, row.value) == pytest.approx((right["a"].mean(), right["b"].mean()))
    assert row.difference == pytest.approx((gained - lost) / len(items))
    assert (row.flips.up, row.flips.down) == (gained, lost)
    assert row.p is not None
    assert row.p.value == pytest.approx(binomtest(gained, gained + lost).pvalue)


def test_compare_arms_keeps_several_for_one_arm_until_taken_back(study: Path, tmp_path: Path) -> None:
    root = tmp_path / "kept"
    shutil.copytree(study, root)
    before = rows_of(root, "b", "a")
    for other in ("a", "b"):
        assert crushtest("compare", str(root), "--arms", "c", other).startswith("0 ")
    assert pairs_of(root) == {("b", "a"), ("c", "a"), ("c", "b")}
    assert crushtest("compare", str(root)).startswith("0 ")
    assert pairs_of(root) == {("b", "a"), ("c", "a"), ("c", "b")}
    assert rows_of(root, "b", "a") == before
    listed = {arm["name"]: arm["against"] for arm in yaml.safe_load((root / "study.yaml").read_text())["arms"]}
    assert listed == {"a": ["dense"], "b": ["dense", "a"], "c": ["dense", "a", "b"], "d": ["dense"]}
    page = (root / "report.html").read_text()
    assert all(f"Compared with {other}" in page for other in ("a", "b"))
    assert crushtest("compare", str(root), "--against", "none", "--arm", "c").startswith("0 ")
    assert pairs_of(root) == {("b", "a")}
    assert list(problems(StudyFolder(root))) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arms", "c", "f61"], "unknown arm 'f61'"),
        (["--arms", "e", "a"], "unknown arm 'e'"),
        (["--arms", "c", "dense"], "every arm is compared with dense already"),
        (["--arms", "dense", "c"], "every arm is compared with dense already"),
        (["--arms", "c", "c"], "names the arm itself"),
        (["--arms", "a", "b"], "--arms 'b' 'a'"),
        (["--arms", "c", "a", "--arm", "c"], "--arms names both arms"),
    ],
)
def test_compare_refuses_other_arms_before_it_writes(study: Path, arguments: list[str], said: str) -> None:
    before = (study / "study.yaml").read_bytes(), (study / "contrasts.parquet").read_bytes()
    output = crushtest("compare", str(study), *arguments)
    assert output[0] != "0"
    assert said in output
    assert ((study / "study.yaml").read_bytes(), (study / "contrasts.parquet").read_bytes()) == before
