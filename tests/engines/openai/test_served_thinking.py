"""What served models think, where a limit cut them, and the switches of their chat templates."""

from __future__ import annotations

from typing import Any

import pytest

from crushtest import load_engine
from crushtest.engines.base import Engine
from crushtest.errors import EngineError
from crushtest.records import Choices, Completion, Prompt, Sampling
from crushtest.thinking import after_thinking, is_cut_short, thinking_of
from support.served_stub import Stub, serving

ASKED = [Prompt("Who was late?", chat=True)]
NAMES = ("reasoning_content", "reasoning")


def engine_at(address: str, **options: Any) -> Engine:
    return load_engine(address, engine="openai", **({"first_wait_s": 0.001, "attempts": 1} | options))


def answer_of(stub: Stub, says: str, max_tokens: int = 40) -> Completion:
    with serving(stub) as address:
        engine = engine_at(address)
        stub.says = [says]
        [(_, completion)] = engine.generate(ASKED, Sampling(max_tokens=max_tokens))
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize("name", NAMES)
def test_thinking_that_a_server_tells_apart_stands_in_front(name: str) -> None:
    answer = answer_of(Stub(completes=False, likeliest=0, thought=(name, "He said so.")), "Nobody.")
    assert (thinking_of(answer.text), after_thinking(answer.text)) == ("He said so.", "Nobody.")
    assert (answer.stop, answer.tokens) == ("eos", 18)


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_that_cuts_the_thinking_leaves_no_answer(name: str) -> None:
    answer = answer_of(Stub(completes=False, likeliest=0, thought=(name, "He said so. " * 9)), "Nobody.", 20)
    assert (answer.stop, after_thinking(answer.text)) == ("length", "")
    assert is_cut_short(answer)


def test_a_limit_that_cuts_the_answer_leaves_its_beginning() -> None:
    answer = answer_of(Stub(completes=False, likeliest=0, thought=("reasoning_content", "He?")), "Nobody.", 7)
    assert (answer.stop, after_thinking(answer.text)) == ("length", "Nobo")
    assert not is_cut_short(answer)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("length", "length"),
        ("stop", "eos"),
        (None, "unknown"),
        ("content_filter", "unknown"),
        ("tool_calls", "unknown"),
    ],
)
def test_an_end_without_a_reason_that_is_known_is_unknown(reason: object, stop: str) -> None:
    assert answer_of(Stub(completes=False, likeliest=0, finish=reason), "Nobody was.").stop == stop


# ---- switches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["openai", "vllm", "llama.cpp"])
def test_a_switch_that_the_server_heeds_is_sent_with_every_question(kind: str) -> None:
    stub = Stub(kind, switch="enable_thinking")
    with serving(stub) as address:
        off, plain = engine_at(address, thinking="off"), engine_at(address)
        assert off.describe()["thinking"] == {"enable_thinking": False}
        assert plain.describe()["thinking"] is None
        stub.prompts.clear()
        stub.chats.clear()
        for engine in (off, plain):
            list(engine.generate(ASKED, Sampling(max_tokens=4)))
        if kind == "openai":
            asked = [chat.get("chat_template_kwargs") for chat in stub.chats]
            assert asked == [{"enable_thinking": False}, None]
        else:
            assert len(stub.prompts) == 2


def test_letters_are_asked_with_the_switch() -> None:
    stub = Stub(completes=False, switch="enable_thinking")
    with serving(stub) as address:
        engine = engine_at(address, thinking="off")
        stub.chats.clear()
        list(engine.choices([Choices("Which? ", ("A", "B"), chat=True)]))
    assert [chat["chat_template_kwargs"] for chat in stub.chats] == [{"enable_thinking": False}]


@pytest.mark.parametrize("kind", ["openai", "vllm", "llama.cpp"])
@pytest.mark.parametrize("thinking", ["on", "off", 64])
def test_a_server_that_heeds_no_switch_is_refused(kind: str, thinking: Any) -> None:
    with serving(Stub(kind)) as address, pytest.raises(EngineError, match="thinking"):
        engine_at(address, thinking=thinking)
