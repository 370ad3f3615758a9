"""What `--arm [NAME=]MODEL` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.cli.asked_study import found_arms


@pytest.mark.parametrize(
    ("texts", "arms"),
    [
        (["org/model-AWQ"], [("model-AWQ", "org/model-AWQ")]),
        (["runs/q4/"], [("q4", "runs/q4/")]),
        (["q4=runs/w4"], [("q4", "runs/w4")]),
        (["runs/lr=1e-4"], [("lr=1e-4", "runs/lr=1e-4")]),
        (["q4=runs/lr=1e-4"], [("q4", "runs/lr=1e-4")]),
        (["a/x.gguf", "b/x.gguf"], [(None, "a/x.gguf"), (None, "b/x.gguf")]),
        (["x=a/y", "b/x"], [("x", "a/y"), (None, "b/x")]),
        ([".."], [(None, "..")]),
        ([], []),
    ],
)
def test_a_found_arm_is_called_by_its_name_or_its_last_part(
    texts: list[str], arms: list[tuple[str | None, str]]
) -> None:
    assert [(arm.get("name"), arm["model"]) for arm in found_arms(texts)] == arms


def test_a_folder_with_an_equals_sign_in_its_name_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=3").mkdir()
    assert found_arms(["lr=3", "lr=4"]) == [{"name": "lr=3", "model": "lr=3"}, {"name": "lr", "model": "4"}]
