"""Our requests are lm-evaluation-harness's own, where it is installed (scores: benchmarks/agreement.py)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("lm_eval", reason="needs lm-eval: pip install crushtest[bench]")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "agreement.py"


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("default")  # of the harness and what it imports
@pytest.mark.parametrize(
    "name", ["mmlu, 0 shots", "mmlu, 5 shots", "hellaswag", "truthfulqa mc1", "truthfulqa mc2", "wikitext2"]
)
def test_requests_are_those_of_the_harness(
    name: str, agreement: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    subject = next(one for one in agreement.subjects(12, 2, tmp_path) if one.name == name)
    samples, _ = agreement.run_harness(subject, agreement.Listener())
    for item in subject.items:
        assert agreement.requests_of(samples[item.id]) == agreement.our_requests(item)
