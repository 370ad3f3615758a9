"""An arm that is run otherwise than dense, and not compressed, is called what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import UsageError
from crushtest.pipeline.run import run_study
from crushtest.study import manifest
from crushtest.study.arms import make_arms
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from support.tiny_models import loaded


def test_an_arm_in_another_dtype_is_a_deployment_delta_and_runs_in_it(tmp_path: Path) -> None:
    model = loaded()
    for part in (model.network, model.tokenizer):
        part.save_pretrained(tmp_path / "model")
    arms = [
        {"name": "served", "model": str(tmp_path / "model"), "engine": "hf:dtype=bfloat16"},
        {"name": "both", "recipe": "magnitude:sparsity=0.3", "engine": "hf:dtype=bfloat16"},
        {"name": "pruned", "recipe": "magnitude:sparsity=0.3"},
    ]
    content = {"model": str(tmp_path / "model"), "arms": arms, "suite": [{"probe_facts": {"limit": 12}}]}
    run_study(build_spec(content, where="test"), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    ran = manifest.read(folder.manifest)["arms"]
    assert {name: facts["engine"]["dtype"] for name, facts in ran.items()} == {
        "dense": "float32",
        "served": "bfloat16",
        "both": "bfloat16",
        "pruned": "float32",
    }
    assert {row.arm: row.compares for row in folder.read_contrasts()} == {
        "served": "deployment delta",
        "both": "compression and deployment",
        "pruned": "compression effect",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"engine": "hf:dtype=bfloat16"}, "dtype is the study's own setting; write `dtype:` in the study"),
        ({"arms": [{"recipe": "rtn:bits=4", "engine": "hf:device=cpu"}]}, "device is the study's own setting"),
        ({"arms": [{"recipe": "rtn:bits=4", "engine": "hf:dtype=bfloat"}]}, "did you mean 'bfloat16'"),
    ],
)
def test_what_the_study_says_for_all_arms_is_not_said_by_one(content: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_arms(build_spec({"model": "demo", **content}, where="test"))
