"""`track` and `card --push`: what is wrong is said before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.cli.results import _pushed
from crushtest.cli.unexpected import missing_extra
from crushtest.errors import CrushtestError
from crushtest.pipeline import push_card
from crushtest.pipeline.tracking import to_mlflow, to_wandb

CARDS = {name: Path(f"{name}.md") for name in ("w1", "w2")}


@pytest.mark.parametrize(
    ("arm", "line"), [(None, r"name it with --arm \(w1, w2\)"), ("w3", "did you mean 'w"), ("w1", "in HF_TOKEN")]
)
def test_one_variant_is_pushed_and_with_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: str | None, line: str
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    cards = {name: tmp_path / path for name, path in CARDS.items()}
    for path in cards.values():
        path.write_text("---\ntags: []\n---\n")
    with pytest.raises(CrushtestError, match=line):
        _pushed(cards, "org/model", arm)


def test_the_only_variant_needs_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w1.md").write_text("the card")
    pushed: list[tuple[Any, ...]] = []
    monkeypatch.setattr(push_card, "push_card", lambda *arguments: pushed.append(arguments) or "address")
    assert _pushed({"w1": tmp_path / "w1.md"}, "org/model", None) == "address"
    assert pushed == [("the card", "org/model", "w1")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["card", "nowhere", "--arm", "w1"], "give --push ORG/MODEL as well"),
        (["track", "nowhere", "--to", "wandbb"], "did you mean 'wandb'?"),
    ],
)
def test_what_is_wrong_is_said_before_a_study_is_read(arguments: list[str], line: str) -> None:
    assert line in str(CliRunner().invoke(app, arguments).exception)


@pytest.mark.parametrize(("package", "tracker"), [("wandb", to_wandb), ("mlflow", to_mlflow)])
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, tracker: Callable[..., Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as missing:
        tracker([], "project")
    assert f"pip install 'crushtest[{package}]'" in (missing_extra(missing.value) or "")
