"""A study file's relative paths are those beside it; without one there, those of the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crushtest.study.merge import as_stored
from crushtest.study.paths import study_paths
from crushtest.study.spec import build_spec, read_spec, read_stored_spec
from crushtest.study.suites import resolve


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, below the current one: both have an `own.jsonl`."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("own.jsonl", "text.txt", "dense.gguf", "q4.gguf", "demo"):
        (folder / name).touch()
    (tmp_path / "own.jsonl").touch()
    (tmp_path / "here.txt").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_what_lies_beside_the_file_is_found(away: Path) -> None:
    content = {
        "model": "dense.gguf",
        "calibration": {"source": "text.txt"},
        "arms": [{"model": "q4.gguf"}, {"name": "again", "model": "demo", "against": ["q4.gguf"]}],
        "noise_floor": {"repeats": 1, "arms": "q4.gguf"},
        "suite": ["probe_qa", {"custom_prompts": {"path": "own.jsonl"}}, {"custom_text": {"path": "here.txt"}}],
    }
    (away / "study.yaml").write_text(yaml.safe_dump(content))
    spec = read_spec(Path("studies/study.yaml"))
    assert (spec.model, spec.calibration.source) == ("studies/dense.gguf", "studies/text.txt")
    assert [arm.model for arm in spec.arms] == ["studies/q4.gguf", "demo"]
    assert spec.arms[1].against == ("dense", "studies/q4.gguf")
    assert spec.noise_floor.arms == ("dense", "studies/q4.gguf")
    assert spec.suite == [
        "probe_qa",
        {"custom_prompts": {"path": "studies/own.jsonl"}},
        {"custom_text": {"path": "here.txt"}},
    ]


def test_a_stored_study_keeps_the_paths_it_began_with(away: Path) -> None:
    (away / "study.yaml").write_text("model: dense.gguf\n")
    assert read_stored_spec(away / "study.yaml").model == "dense.gguf"


def test_a_suite_file_finds_what_lies_beside_it(away: Path) -> None:
    (away / "mine.yaml").write_text("tasks:\n- custom_prompts: {path: own.jsonl}\n")
    assert resolve("studies/mine.yaml") == [("custom_prompts", {"path": "studies/own.jsonl"})]
    (away / "study.yaml").write_text("model: demo\nsuite: mine.yaml\n")
    assert read_spec(away / "study.yaml").suite == str(away / "mine.yaml")


@pytest.mark.parametrize("model", ["org/name", "demo", "/absolute", "", "a\0b", "x" * 5000, 3, None])
def test_what_is_no_path_beside_the_file_is_left(model: object, away: Path) -> None:
    assert study_paths({"model": model}, away) == {"model": model}


@pytest.mark.parametrize("wrong", [[1, None, {}, {"model": 3}], "text", None, 5])
def test_content_of_a_wrong_shape_is_left_for_the_checks(wrong: object, away: Path) -> None:
    content = {"arms": wrong, "suite": wrong, "calibration": wrong, "noise_floor": wrong}
    assert study_paths(content, away) == content


def test_paths_of_a_file_here_stay_as_they_are_written(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(away)
    (away / "study.yaml").write_text("model: ./dense.gguf\n")
    assert read_spec(Path("study.yaml")).model == "./dense.gguf"


@pytest.mark.parametrize("other", ["./studies/q4.gguf", "studies/../studies/q4.gguf"])
def test_another_path_to_the_same_file_is_the_same_model(away: Path, other: str) -> None:
    stored, given = (
        build_spec({"model": path, "arms": [{"model": path}, "magnitude"]}, where="test")
        for path in ("studies/q4.gguf", other)
    )
    assert as_stored(given, stored) == stored
    elsewhere = build_spec({"model": "studies/dense.gguf"}, where="test")
    assert as_stored(elsewhere, stored) == elsewhere
