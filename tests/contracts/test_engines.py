"""What every engine keeps to: an answer for every request, the same whenever and in whatever pieces it is asked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest

from crushtest import load_engine
from crushtest.engines.base import Engine, LaidOut
from crushtest.engines.llamacpp.library import is_installed
from crushtest.records import Choices, Completion, Passage, Prompt, Sampling
from crushtest.registry import ENGINES, Answers
from support.quantized_folders import write_folder
from support.served_stub import Stub, serving
from support.tiny_gguf import tiny_file
from support.tiny_models import SENTENCES, loaded
from support.vllm_stand_in import standing_in

HERE = {
    "fake": lambda: load_engine("fake", engine="fake"),
    "hf": lambda: small_hf(),
    "llamacpp": lambda: small_llamacpp(),
    "openai": lambda: served(),
    "vllm": lambda: small_vllm(),
}
CHOICES = [Choices(sentence[:end], (" the dog", " nobody")) for sentence in SENTENCES for end in (10, 30, 50)]
PASSAGES = [Passage(sentence[start:] * 2) for sentence in SENTENCES for start in (0, 9)] + [Passage("")]
PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (8, 25)] + [
    Prompt(""),
    Prompt("Why?", chat=True),
]
GREEDY, DRAWN = Sampling(max_tokens=9), Sampling(max_tokens=9, temperature=1.0, seed=2)
ASKED = {
    "choices": lambda engine, done: engine.choices(CHOICES, done=done),
    "passages": lambda engine, done: engine.passages(PASSAGES, done=done),
    "greedy": lambda engine, done: engine.generate(PROMPTS, GREEDY, done=done),
    "drawn": lambda engine, done: engine.generate(PROMPTS, DRAWN, done=done),
}


def small_hf() -> Engine:
    # Small packs and batches, so that a handful of requests makes several.
    return ENGINES.get("hf").function(
        loaded(template=True), **ENGINES.get("hf").bind({"pack_tokens": 48, "batch_size": 3})
    )


def small_llamacpp() -> Engine:
    if not is_installed():
        pytest.skip("needs llama.cpp: llama-cpp-py-sync or llama-cpp-python")
    return load_engine(str(tiny_file()), engine="llamacpp", pack_tokens=48, batch=32, batch_size=3)


@contextmanager
def served() -> Iterator[Engine]:
    with serving(Stub("vllm")) as address:
        yield load_engine(address, engine="openai")


@contextmanager
def small_vllm() -> Iterator[Engine]:
    with TemporaryDirectory() as folder, standing_in():
        write_folder(Path(folder), None, {})
        yield load_engine(folder, engine="vllm", dtype="float32", block=4, batch_size=3)


@pytest.fixture(params=sorted(HERE))
def engine(request: pytest.FixtureRequest) -> Any:
    made = HERE[request.param]()
    if isinstance(made, AbstractContextManager):
        with made as within:
            yield within
    else:
        yield made


@pytest.fixture(params=sorted(ASKED))
def asked(request: pytest.FixtureRequest) -> Any:
    return ASKED[request.param]


def once(pairs: Iterable[tuple[int, Any]]) -> dict[int, Any]:
    """The answers by index; no index may come twice."""
    listed = list(pairs)
    answers = dict(listed)
    assert len(answers) == len(listed)
    return answers


def test_every_request_is_answered_once(engine: Engine) -> None:
    assert sorted(once(engine.choices(CHOICES))) == list(range(len(CHOICES)))
    assert sorted(once(engine.passages(PASSAGES))) == list(range(len(PASSAGES)))
    assert sorted(once(engine.generate(PROMPTS, GREEDY))) == list(range(len(PROMPTS)))


def test_nothing_asked_is_nothing_answered(engine: Engine) -> None:
    assert [*engine.choices([]), *engine.passages([]), *engine.generate([], GREEDY)] == []


def test_answers_have_the_shape_of_their_requests(engine: Engine) -> None:
    for index, scores in engine.choices(CHOICES):
        options = CHOICES[index].options
        assert len(scores.logprobs) == len(scores.tokens) == len(scores.bytes) == len(options)
        assert all(math.isfinite(value) and value <= 0 for value in scores.logprobs)
        assert min(scores.tokens) >= 1
        assert scores.bytes == tuple(len(option.encode()) for option in options)
    for index, score in engine.passages(PASSAGES):
        assert math.isfinite(score.logprob)
        assert score.logprob <= 0
        assert score.bytes == len(PASSAGES[index].text.encode())
        assert (score.tokens == 0) == (PASSAGES[index].text == "")
    for _, completion in engine.generate(PROMPTS, GREEDY):
        assert isinstance(completion, Completion)
        assert completion.stop in ("eos", "length", "stop")
        assert 0 <= completion.tokens <= GREEDY.max_tokens
        assert (completion.tokens == GREEDY.max_tokens) == (completion.stop == "length")


def test_the_same_questions_get_the_same_answers(engine: Engine, asked: Any) -> None:
    assert once(asked(engine, ())) == once(asked(engine, ()))


def test_answers_do_not_depend_on_where_it_was_interrupted(engine: Engine, asked: Any) -> None:
    whole = once(asked(engine, ()))
    for stopped in (1, len(whole) // 2, len(whole) - 1):
        answered = {}
        for index, answer in asked(engine, ()):
            answered[index] = answer
            if len(answered) == stopped:
                break
        rest = once(asked(engine, frozenset(answered)))
        assert not set(rest) & set(answered), "what is done is not answered again"
        assert answered | rest == whole, "bit for bit"


def test_what_is_done_costs_nothing(engine: Engine, asked: Any) -> None:
    everything = once(asked(engine, ()))
    assert once(asked(engine, frozenset(everything))) == {}


def test_the_seed_decides_what_is_drawn(engine: Engine) -> None:
    other = Sampling(max_tokens=9, temperature=1.0, seed=3)
    assert once(engine.generate(PROMPTS, DRAWN)) != once(engine.generate(PROMPTS, other))


def test_it_describes_itself_in_json(engine: Engine) -> None:
    described = json.loads(json.dumps(engine.describe()))
    assert described["engine"] in HERE
    assert "scoring" in described


@pytest.mark.parametrize("name", ENGINES.names())
def test_it_says_what_it_runs_and_its_options_have_defaults(name: str) -> None:
    entry = ENGINES.get(name)
    assert len(entry.summary) > 20
    assert entry.about.runs.strip()
    assert set(entry.about.answers) <= set(get_args(Answers))
    assert entry.about.in_process or not entry.about.takes_recipes, "only a model that the study loads is compressed"
    assert list(entry.needs) == ["model"]
    assert entry.bind({}) is not None


def test_looking_for_engines_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from crushtest.registry import ENGINES; ENGINES.names(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("asked", sorted(ASKED))
def test_parts_asked_apart_give_the_numbers_of_the_whole_bit_for_bit(engine: Engine, asked: str) -> None:
    if not isinstance(engine, LaidOut):
        pytest.skip("does not say how it lays out its work")
    requests: Any = {"choices": CHOICES, "passages": PASSAGES}.get(asked, PROMPTS)
    parts = engine.parts(requests, DRAWN if asked == "drawn" else GREEDY)
    assert sorted(index for part in parts for index in part) == list(range(len(requests)))
    whole = dict(ASKED[asked](engine, ()))
    apart: dict[int, Any] = {}
    for cut in (parts[1::2], parts[::2]):  # as two workers would have them
        mine = {index for part in cut for index in part}
        given = dict(ASKED[asked](engine, frozenset(range(len(requests))) - mine))
        assert given.keys() == mine
        apart |= given
    assert {index: repr(answer) for index, answer in apart.items()} == {i: repr(a) for i, a in whole.items()}
