"""llama.cpp on the demo's own file, and on the float32 file that holds the weights that `hf` runs."""

from __future__ import annotations

from typing import Any

import pytest

from crushtest import load_engine
from crushtest.engines.llamacpp.library import is_installed
from crushtest.engines.llamacpp.requantize import requantize
from crushtest.models.demo import find_gguf
from crushtest.records import Choices, Passage, Prompt, Sampling

pytestmark = [
    pytest.mark.demo_model,
    pytest.mark.skipif(not is_installed(), reason="needs llama.cpp: llama-cpp-py-sync or llama-cpp-python"),
]

CONTEXT = "The nurse and the engineer met at noon. Who was late? Answer:"
QUESTIONS = [Choices(CONTEXT[:end], (" The nurse", " The engineer", " Nobody can tell")) for end in (39, 53, 61)]
TEXT = "In 1997 the town of Käse had 12,345 people.\n\n  Most of them spoke two languages, and 30% three."


@pytest.fixture(scope="module")
def float32(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = requantize(find_gguf(), tmp_path_factory.mktemp("demo") / "demo-F32.gguf", "F32")
    return load_engine(str(path), engine="llamacpp", kv="f32", flash="off", threads=1)


@pytest.fixture(scope="module")
def hf() -> Any:
    return load_engine("demo", device="cpu")


def test_float32_scores_are_those_of_hf(float32: Any, hf: Any) -> None:
    ours = dict(float32.choices(QUESTIONS))
    for index, theirs in hf.choices(QUESTIONS):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)
        assert ours[index].tokens == theirs.tokens


def test_float32_completions_are_those_of_hf(float32: Any, hf: Any) -> None:
    asked = [Prompt("Why is the sky blue?", chat=True), Prompt("The nurse said that")]
    for sampling in (Sampling(max_tokens=8), Sampling(max_tokens=8, temperature=0.8, seed=3)):
        assert dict(float32.generate(asked, sampling)) == dict(hf.generate(asked, sampling))


def test_the_shipped_file_is_close_to_its_dequantized_self(hf: Any) -> None:
    ((_, ours),) = load_engine("demo", engine="llamacpp", threads=1).passages([Passage(CONTEXT)])
    ((_, theirs),) = hf.passages([Passage(CONTEXT)])
    assert ours.logprob == pytest.approx(theirs.logprob, abs=2.0)
    assert ours.logprob != theirs.logprob


def test_the_files_pre_tokenizer_lets_digits_stand_alone(float32: Any) -> None:
    tokenizer = float32.model.tokenizer
    [tokens] = tokenizer.encode([TEXT], add_special=False)
    digits = [piece for piece in (tokenizer.decode([token]) for token in tokens) if any(map(str.isdigit, piece))]
    assert digits == list("19971234530")
    assert tokenizer.decode(tokens) == TEXT


def test_the_template_is_the_tokenizers(float32: Any, hf: Any) -> None:
    messages = [{"role": "user", "content": "Why?"}]
    assert float32.model.tokenizer.render(messages) == hf.model.tokenizer.render(messages)
    assert float32.describe()["chat_template_sha256"] == hf.describe()["chat_template_sha256"]
