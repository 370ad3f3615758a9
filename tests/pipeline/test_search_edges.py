"""Searches at their edges: killed while they begin, with names or sizes that nearly meet, with budgets of other kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import StoreError
from crushtest.pipeline.search import run as searching
from crushtest.pipeline.search.opening import open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.study.searched import SearchFolder
from crushtest.study.spec import build_spec
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
WIDE = "rules: [{task: probe_facts, metric: accuracy, direction: move, margin: 0.3, min_items: 20}]"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


def request(model: Path, **more: Any) -> SearchRequest:
    spec = build_spec({"model": str(model), "suite": [{"probe_facts": {"limit": 80}}], "device": "cpu"}, where="test")
    asked = {"budget": WIDE, "options": ("rtn:bits=3,8,group_size=16",), "items": 8}
    return SearchRequest(spec=spec, **(asked | more))


@pytest.mark.parametrize("writes", range(3))
def test_a_search_killed_while_it_begins_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    replace, count = os.replace, 0

    def killed(*paths: Any) -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise KeyboardInterrupt
        replace(*paths)

    folder = SearchFolder(tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            searching.run_search(open_search(request(model), folder.root))
    (folder.root / ".search.json.1.partial").write_text("half")
    monkeypatch.setattr(searching, "_measure", enough)
    with pytest.raises(KeyboardInterrupt):
        searching.run_search(open_search(request(model), folder.root))
    assert folder.read() is not None
    assert folder.policy.exists()
    assert folder.verify_policy.exists()


def enough(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_of_something_else_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and holds no search"):
        open_search(request(model), tmp_path)
