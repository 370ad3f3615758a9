"""An arm with dense's weights and another cache: its divergence is measured, and it is no replicate."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from crushtest.pipeline.run import run_study
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from support.tiny_models import SENTENCES, loaded


def test_a_rounded_cache_is_an_arm_of_its_own(tmp_path: Path) -> None:
    model = loaded(head_dim=64)
    for part in (model.network, model.tokenizer):
        part.save_pretrained(tmp_path / "model")
    arms = [
        {"name": "kv8", "model": str(tmp_path / "model"), "engine": "hf:kv=q8_0"},
        {"name": "kv4", "model": str(tmp_path / "model"), "engine": "hf:kv=q4_0"},
        {"name": "pruned kv4", "recipe": "magnitude:sparsity=0.3", "engine": "hf:kv=q4_0"},
    ]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"{first} {second}"}) + "\n" for first, second in pairwise(SENTENCES)))
    suite = [{"custom_text": {"path": str(texts), "divergence": True}}]
    content = {"model": str(tmp_path / "model"), "arms": arms, "suite": suite}
    run_study(build_spec(content, where="test"), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    ran = manifest.read(folder.manifest)["arms"]
    assert {name: facts["engine"].get("kv") for name, facts in ran.items()} == {
        "dense": None,
        "kv8": "q8_0",
        "kv4": "q4_0",
        "pruned kv4": "q4_0",
    }
    assert {row.arm: row.compares for row in folder.read_contrasts()} == {
        "kv8": "deployment delta",
        "kv4": "deployment delta",
        "pruned kv4": "compression and deployment",
    }
    kl = {row.arm: row.value for row in folder.read_estimates() if row.metric == "kl_mean" and row.group == "all"}
    assert kl["dense"] == 0
    assert 0 < kl["kv8"] < kl["kv4"] < kl["pruned kv4"]
    page = (tmp_path / "s" / "report.html").read_text()
    assert "q4_0" in page
    assert "a deployment delta" in page
