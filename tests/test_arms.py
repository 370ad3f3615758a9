"""What is found before an arm is run, and what keeps two things from being mixed under one arm's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import CrushtestError, DataError, UsageError
from crushtest.plan import StudySpec, build_spec
from crushtest.study import run_study
from tiny_models import network, tokenizer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model in a folder."""
    return save(tmp_path / "model")


def save(folder: Path, seed: int = 0) -> Path:
    network(seed=seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def spec(model: Path, *arms: str, suite: str = "probe_text", **settings: object) -> StudySpec:
    """A study of five items on a model in a folder."""
    content = {"model": str(model), "arms": list(arms), "suite": [{suite: {"limit": 5}}], "device": "cpu"}
    return build_spec(content | settings, where="test")


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("nosuch.txt", UsageError, "calibration: no such text 'nosuch.txt'"),
        ("c4", DataError, "c4-train.00000-of-01024.json.gz' is not here and could not be fetched"),
    ],
)
def test_a_calibration_text_that_is_not_there_is_found_before_the_dense_model_is_asked(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, error: type[CrushtestError], says: str
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(error) as caught:
        run_study(spec(model, "wanda:sparsity=0.5", calibration={"source": source}), tmp_path / "s")
    assert says in str(caught.value)
    assert not (tmp_path / "s").exists()
