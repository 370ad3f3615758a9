"""A task that needs a chat template: a model without one is refused before any work, with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import EngineError
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from support.tiny_models import network, tokenizer


def model(folder: Path, *, template: bool, refuses_system: bool = False) -> Path:
    network("llama").save_pretrained(folder)
    made = tokenizer(template=template)
    if refuses_system:
        made.chat_template = (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}a"
        )
    made.save_pretrained(folder)
    return folder


def run(folder: Path, out: Path, **settings: Any) -> None:
    suite = [{"probe_refusal": {"limit": 6, "max_tokens": 4, **settings.pop("options", {})}}]
    run_study(build_spec({"model": str(folder), "suite": suite, **settings}, where="test"), out)


def test_a_model_without_a_template_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no chat template.*probe_refusal.*template: optional"):
        run(model(tmp_path / "m", template=False), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_way_out_asks_in_plain_text(tmp_path: Path) -> None:
    run(model(tmp_path / "m", template=False), tmp_path / "s", options={"template": "optional"})
    assert len(StudyFolder(tmp_path / "s").answers("dense", "probe_refusal", "prompts").read()) == 6


def test_a_system_message_without_a_template_is_refused_first(tmp_path: Path) -> None:
    options = {"template": "optional"}
    with pytest.raises(EngineError, match=r"no chat template, which a system message needs; leave `system` out"):
        run(model(tmp_path / "m", template=False), tmp_path / "s", options=options, system="Be brief.")
    assert not (tmp_path / "s").exists()


def test_a_template_that_takes_no_system_message_says_so_first(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", template=True, refuses_system=True)
    with pytest.raises(EngineError, match="no system message"):
        run(folder, tmp_path / "s", system="Be brief.")
    assert not (tmp_path / "s").exists()
