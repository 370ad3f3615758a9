"""A study of models in object storage is that of the same models in folders, on whatever machine it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crushtest import run_study
from crushtest.errors import StoreError
from support.object_store import empty_bucket, upload_folder
from support.quantized_folders import write_folder

pytestmark = pytest.mark.usefixtures("no_page")


def test_a_study_of_models_at_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "model", None, {})
    address = upload_folder(tmp_path / "model", empty_bucket())
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    study: dict[str, Any] = {
        "model": str(address),
        "arms": [{"recipe": "magnitude:sparsity=0.3"}, {"name": "found", "model": str(address)}],
        "suite": [{"probe_facts": {"limit": 4}}],
    }
    here = json.loads(json.dumps(study).replace(str(address), str(tmp_path / "model")))
    run_study(study, tmp_path / "at")
    run_study(here, tmp_path / "in")
    answers = sorted((tmp_path / "in").glob("arms/*/answers/*.parquet"))
    assert len(answers) == 3
    for path in answers:
        assert (tmp_path / "at" / path.relative_to(tmp_path / "in")).read_bytes() == path.read_bytes()
    manifest, there = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("in", "at"))
    assert {arm["engine"]["model"] for arm in there["arms"].values()} == {str(address)}
    assert there["arms"]["found"]["totals"] == manifest["arms"]["found"]["totals"]
    assert str(tmp_path) not in (tmp_path / "at" / "study.yaml").read_text()

    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "another machine"))
    study["suite"].append({"probe_text": {"limit": 2}})
    run_study(study, tmp_path / "at")

    weights = tmp_path / "model" / "model.safetensors"
    *others, last = weights.read_bytes()
    weights.write_bytes(bytes([*others, last ^ 1]))
    upload_folder(tmp_path / "model", address)
    study["suite"].append({"probe_qa": {"limit": 2}})
    with pytest.raises(StoreError, match=f"measured with another '{address}' than there is now: sha256 of model.safet"):
        run_study(study, tmp_path / "at")
