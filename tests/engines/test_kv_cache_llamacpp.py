"""Engine `hf` reads a cache of 8 or 4 bits as llama.cpp does: a tiny file, and within llama.cpp's noise the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crushtest import load_engine
from crushtest.engines.llamacpp.library import is_installed
from crushtest.engines.llamacpp.requantize import requantize
from crushtest.engines.packing import Line
from crushtest.models.demo import find_gguf
from crushtest.records import Choices
from support.tiny_gguf import write_gguf
from support.tiny_models import SENTENCES, loaded

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs llama.cpp: llama-cpp-py-sync or llama-cpp-python")

TEXT = (
    "The lighthouse on the northern cape was built in 1871 from granite that ships had carried as ballast. For sixty "
    "years one family kept its lamp. The eldest daughter wrote down the wind, the ships and the birds every evening. "
    "Her notebooks, which a museum bought in 1954, are the longest record of the coast's weather. When the lamp was "
    "electrified, the last keeper stayed on as a guide. He told visitors that the sea had not changed, but that the "
    "people who looked at it had."
)
OPTIONS = (" the dog", " nobody can tell", " the river had risen in the night")
QUESTIONS = [Choices(sentence[:end], OPTIONS) for sentence in SENTENCES for end in (12, 24, 36)]


def scores(engine: Any) -> np.ndarray[Any, Any]:
    answers = sorted(engine.choices(QUESTIONS), key=lambda pair: pair[0])
    return np.array([logprob for _, answer in answers for logprob in answer.logprobs])


def distance(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> float:
    """The median, because a rounding that falls the other way moves a score far."""
    return float(np.median(np.abs(ours - theirs)))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("kv", ["q8_0", "q4_0"])
def test_scores_are_llama_cpps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kv: str, size: int) -> None:
    model = loaded(head_dim=size, num_hidden_layers=1)
    path = write_gguf(tmp_path / "tiny.gguf", model)
    expected = scores(load_engine(str(path), engine="llamacpp", kv=kv, threads=1))
    assert distance(scores(load_engine(model, kv=kv)), expected) < 1e-5
    assert distance(scores(load_engine(model)), expected) > 1e-3
    if size < 64:  # one block holds all channels, and llama.cpp does not turn them
        return
    for part in ("PAIRED", "key_rotation", "value_rotation"):
        with monkeypatch.context() as patch:
            where = "kv_choice" if part == "PAIRED" else "kv_cache"
            patch.setattr(f"crushtest.engines.hf.{where}.{part}", set() if part == "PAIRED" else lambda size: 0)
            assert distance(scores(load_engine(model, kv=kv)), expected) > 1e-3, part


@pytest.mark.demo_model
@pytest.mark.parametrize("kv", ["q8_0", "q4_0"])
def test_the_demo_is_as_far_from_llama_cpp_as_llama_cpp_is_from_itself(kv: str, tmp_path: Path) -> None:
    path = requantize(find_gguf(), tmp_path / "demo-F32.gguf", "F32")
    engines: dict[str, Any] = {
        "ours": load_engine("demo", device="cpu", kv=kv),
        "batch": load_engine(str(path), engine="llamacpp", kv=kv, threads=1),
        "single": load_engine(str(path), engine="llamacpp", kv=kv, threads=1, batch=1),
    }
    [text] = engines["ours"].model.tokenizer.encode([TEXT], add_special=False)
    lines = [[Line(text[: stop + 1], stop) for stop in range(1, len(text))]]
    tokens = {name: np.array(next(engine.model.score(lines, ()))[1]) for name, engine in engines.items()}
    spread = np.abs(tokens["single"] - tokens["batch"]).mean()
    assert 0 < np.abs(tokens["ours"] - tokens["batch"]).mean() < 1.5 * spread
