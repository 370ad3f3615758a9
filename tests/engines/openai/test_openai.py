"""The engine `openai` against a server of known numbers, which behaves as real servers do, and misbehaves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crushtest import load_engine
from crushtest.engines.base import Engine
from crushtest.engines.openai.client import BudgetSpent
from crushtest.engines.openai.prove import WAYS
from crushtest.engines.openai.ways.first_token import letter_logprob
from crushtest.engines.openai.ways.read import read_letter
from crushtest.errors import CrushtestError, EngineError, ModelChanged, ModelError
from crushtest.records import (
    Choices,
    ChoiceScores,
    Completion,
    Passage,
    PassageScore,
    Prompt,
    ReadChoice,
    Sampling,
    Unanswered,
)
from crushtest.services.addresses import key_for, parse_address
from support.served_stub import BOS, Stub, encode, log_likelihood, serving

QUESTIONS = [Choices(f"Question {number}. Answer:", (" yes", " no")) for number in range(30)]
LETTERS = [Choices(f"Which of {number}", ("A", "B", "C", "D")) for number in range(100, 130)]
PATHS = {
    "/v1/models": "openai",
    "/props": "llama.cpp",
    "/version": "vllm",
    "/get_model_info": "sglang",
    "/api/version": "ollama",
    "/api/show": "ollama",
    "/api/tags": "ollama",
    "/v1/completions": "vllm",
    "/v1/chat/completions": "openai",
}
OWN = (
    "id",
    "data",
    "aliases",
    "meta",
    "default_generation_settings",
    "n_ctx",
    "model_path",
    "version",
    "models",
    "name",
)
REPLIED = ("model", "choices", "message", "content", "logprobs", "usage", "model_info", "a.context_length")
KEYS = st.sampled_from(OWN + REPLIED)
SAMPLED = Sampling(max_tokens=6, temperature=1.0, seed=3)


def engine_at(address: str, **options: Any) -> Engine:
    return load_engine(address, engine="openai", **({"first_wait_s": 0.001} | options))


def oracle(request: Choices) -> tuple[float, ...]:
    before = [BOS, *encode(request.context)]
    return tuple(log_likelihood(before + encode(option), len(before)) for option in request.options)


def until_it_ends(pairs: Iterable[tuple[int, Any]], answered: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """Note answers as they come, as a study does."""
    for index, answer in pairs:
        answered[index] = answer
        yield index, answer


def assert_exact(answers: dict[int, Any], requests: Sequence[Choices]) -> None:
    assert sorted(answers) == list(range(len(requests)))
    for index, scores in answers.items():
        assert scores.logprobs == pytest.approx(oracle(requests[index]))


# ---- the ways, each with the server that can do it


@pytest.mark.parametrize(
    ("stub", "way"),
    [
        (Stub("vllm"), "echo"),
        (Stub("openai"), "echo"),
        (Stub("llama.cpp"), "echo"),
        (Stub("llama.cpp", echoes=False), "forced"),
    ],
    ids=["vllm", "openai by text", "llama echo", "llama forced"],
)
def test_the_most_exact_way_that_is_proved_scores_exactly(stub: Stub, way: str) -> None:
    with serving(stub) as address:
        engine = engine_at(address)
        described = json.loads(json.dumps(engine.describe()))
        assert described["way"] == way
        assert "unproved" not in described["probes"][way]
        assert_exact(dict(engine.choices(QUESTIONS)), QUESTIONS)


@settings(max_examples=15)
@given(st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=20), st.text(min_size=1, max_size=4))
def test_forced_and_echoed_tokens_have_the_same_values(context: str, option: str) -> None:
    request = [Choices(context, (option.encode("utf-8", "replace").decode(), " x"))]
    values = []
    for stub in (Stub("vllm"), Stub("llama.cpp", echoes=False)):
        with serving(stub) as address:
            values.append(dict(engine_at(address).choices(request))[0])
    assert values[0].tokens == values[1].tokens
    assert values[0].logprobs == pytest.approx(values[1].logprobs)


def test_a_token_that_is_a_part_of_a_character_is_read_from_the_list() -> None:
    request = Choices("Call it a caf", ("é", "\u4e2d", "🙂"))
    with serving(Stub("llama.cpp", echoes=False)) as address:
        assert_exact(dict(engine_at(address, way="forced").choices([request])), [request])


def test_a_list_that_lacks_such_a_token_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Stub._top
    monkeypatch.setattr(
        Stub, "_top", lambda self, tokens, count: [e for e in listed(self, tokens, count) if e[0] < 128]
    )
    listless = "is a part of a character, and not in the list"
    with serving(Stub("llama.cpp", echoes=False)) as address, pytest.raises(EngineError, match=listless):
        dict(engine_at(address, way="forced").choices([Choices("a", ("é", "b"))]))


def test_passages_are_exact_by_echo_and_forced_only_if_asked() -> None:
    text = Passage("Nine people waited. é")
    expected = log_likelihood([BOS, *encode(text.text)], 1)
    with serving(Stub("vllm")) as address:
        assert dict(engine_at(address).passages([text]))[0].logprob == pytest.approx(expected)
    with serving(Stub("llama.cpp", echoes=False)) as address:
        with pytest.raises(EngineError, match="forced_passages"):
            list(engine_at(address).passages([text]))
        [(_, score)] = engine_at(address, forced_passages=True).passages([text])
        assert score == PassageScore(pytest.approx(expected), len(encode(text.text)), len(text.text.encode()))


@pytest.mark.parametrize("stub", [Stub("openai", echoes=False), Stub("ollama")], ids=["openai", "ollama"])
def test_letters_are_scored_and_one_outside_the_top_is_never_zero(stub: Stub) -> None:
    with serving(stub) as address:
        engine = engine_at(address)
        assert engine.describe()["way"] == "first_token"
        answers = dict(engine.choices(LETTERS))
    assert sorted(answers) == list(range(len(LETTERS)))
    for index, answer in answers.items():
        if isinstance(answer, ChoiceScores):
            assert answer.logprobs == pytest.approx(oracle(LETTERS[index]))
        else:
            assert "is not scored: below -" in answer.reason
    assert {type(answer) for answer in answers.values()} == {ChoiceScores, Unanswered}


def test_a_chat_only_server_is_asked_in_chat_and_says_so() -> None:
    for stub in (Stub(completes=False), Stub(echoes=False, wraps=True)):
        with serving(stub) as address:
            engine = engine_at(address)
            assert engine.describe()["probes"]["first_token"]["form"] == "chat"
            assert "user's message" in engine.describe()["scoring"]
            assert len(dict(engine.choices(LETTERS))) == len(LETTERS)
    with serving(stub) as address, pytest.raises(EngineError, match="chat template"):
        list(engine_at(address).generate([Prompt("A text that is no message")], SAMPLED))
    with serving(Stub(completes=False, likeliest=0, says=["", ""])) as address:
        engine = engine_at(address)
        assert engine.describe()["way"] is None
        with pytest.raises(EngineError, match="no log-likelihoods"):
            list(engine.choices(LETTERS))
        [(_, completion)] = engine.generate([Prompt("Why?", chat=True)], SAMPLED)
        assert isinstance(completion, Completion)


def test_a_system_message_is_sent_before_the_users() -> None:
    stub = Stub(completes=False, likeliest=0, says=["", ""])
    with serving(stub) as address:
        list(engine_at(address).generate([Prompt("Why?", chat=True, system="Be brief.")], SAMPLED))
    sent = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert json.dumps(sent) in stub.prompts


def test_letters_are_read_only_where_every_other_way_failed() -> None:
    stub = Stub(completes=False, likeliest=0, says=["B", "B", *(f"{letter}." for letter in "ABCD")])
    with serving(stub) as address:
        engine = engine_at(address, concurrency=1)
        described = engine.describe()
        assert (described["way"], described["asks"]) == ("read", "message")
        assert all("unproved" in described["probes"][way] for way in ("echo", "forced", "first_token"))
        assert described["probes"]["read"] == {"reply": "B", "letter": "B", "repeats": True}
        answers = dict(engine.choices(LETTERS[:4]))
        with pytest.raises(EngineError, match=r"replies only.*single letters"):
            list(engine.choices(QUESTIONS))
        with pytest.raises(EngineError, match="no log-likelihood of a text"):
            list(engine.passages([Passage("Text")]))
    assert [answers[index] for index in range(4)] == [ReadChoice(index, f"{'ABCD'[index]}.") for index in range(4)]
    assert all(body["temperature"] == 0 and body["max_tokens"] <= 16 for body in stub.chats if "logprobs" not in body)


def test_way_read_is_taken_where_it_is_demanded_and_a_mute_server_refused() -> None:
    with serving(Stub("vllm")) as address:
        assert engine_at(address, way="read").describe()["way"] == "read"
    with serving(Stub(says=["", ""])) as address, pytest.raises(EngineError, match="is empty"):
        engine_at(address, way="read")
    with serving(Stub(says=["A", "B"])) as address:
        assert "does not repeat its replies" in engine_at(address, way="read").describe()["scoring"]


GIVING_B = (
    "B",
    " B ",
    "B.",
    "(B)",
    "[B]",
    "**B**",
    "**B.** A person",
    "B) Paris",
    "B: Paris",
    "`B`",
    '"B"',
    "B\nNo doubt.",
)
IN_SENTENCES = (
    "The answer is (B)",
    "The correct answer is B.",
    "the answer is: **B**",
    "Answer: B",
    "The best option is B)",
)


WITH_LETTERS_IN_THEIR_TEXT = (
    "B. Vitamin C",
    "B. Hepatitis A.",
    "B) Type A",
    "**B)** Type A (rare)",
    "B. The man met A",
    "B. Vitamins A, C",
    "B. A person and a dog",
    "B. Hepatitis A. It spreads with food",
    "B. Statement 1 is not true, statement 2 is wrong",
    "B. Statement A\n\nThe answer is B",
)


@pytest.mark.parametrize("reply", GIVING_B + IN_SENTENCES + WITH_LETTERS_IN_THEIR_TEXT)
def test_a_letter_is_read_from_a_reply_that_gives_one(reply: str) -> None:
    assert read_letter(reply, "ABCD") == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        *((text, "several") for text in ("A. B.", "(A) or (B)", "A) or B", "A: no, B: yes", "The answer is A. Or B.")),
        *(
            (text, "several")
            for text in ("A. Paris\nB. Rome", "A. Paris\nB", "A) Paris\n\n(B) Rome", "A. Paris, (B) Rome")
        ),
        ("A) Paris\n\nThe answer is B", "several"),
        *((text, "is wrong") for text in ("A. is incorrect because", "A) is wrong", "(A) isn't it", "A. isn’t right")),
        *(
            (text, "is wrong")
            for text in ("A: is not it", "**A.** is the wrong answer", "Option A) is false. B) is right")
        ),
        *((text, "empty") for text in ("", "  ", "****")),
        *(
            (text, "no letter")
            for text in ("A person", "B is right", "E.", "b.", "Paris", "Both A and B", "A and B", "A, B", "A/B", "Ab")
        ),
        *((text, "no letter") for text in ("I cannot say.", "The answer is A person", "<think>B", "I think B.", "10")),
    ],
)
def test_nothing_is_read_from_any_other_reply(reply: str, reason: str) -> None:
    read = read_letter(reply, "ABCD")
    assert isinstance(read, str)
    assert reason in read


@given(st.text(max_size=40), st.lists(st.sampled_from("ABCDEF"), min_size=1, unique=True))
def test_what_is_read_is_a_letter_of_the_options_that_the_reply_contains(reply: str, letters: list[str]) -> None:
    read = read_letter(reply, letters)
    assert isinstance(read, str) or letters[read] in reply


def test_a_server_that_is_not_there_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="no connection"):
        engine_at("http://127.0.0.1:9/v1", attempts=3)
    assert "http://127.0.0.1:9/v1: no connection" in capsys.readouterr().err


@pytest.mark.parametrize("choices", [[{"text": "a", "logprobs": None}], [{"text": "a"}], []])
def test_a_server_without_logprobs_of_texts_is_asked_in_chat(choices: list[dict[str, Any]]) -> None:
    reply = {"choices": choices, "usage": {"prompt_tokens": None}}
    with serving(Stub(odd={"/v1/completions": reply})) as address:
        engine = engine_at(address, attempts=2)
        assert engine.describe()["probes"]["first_token"]["form"] == "chat"


def test_options_that_are_no_letters_are_refused_before_asking() -> None:
    stub = Stub(echoes=False)
    with serving(stub) as address:
        engine = engine_at(address)
        asked = sum(stub.requests.values())
        with pytest.raises(EngineError, match="single letters"):
            list(engine.choices([*LETTERS, *QUESTIONS]))
        assert sum(stub.requests.values()) == asked


def test_a_letter_with_and_without_space_counts_once_in_chat() -> None:
    assert letter_logprob(" A", {"A": -1.0, " A": -1.0}, exact=False) == pytest.approx(-1 + 0.6931, abs=1e-4)
    assert letter_logprob(" A", {"A": -1.0}, exact=True) is None


# ---- what is found and refused


@pytest.mark.parametrize(
    ("stub", "way", "message"),
    [
        (Stub("vllm", echoes=False), "echo", "without the prompt's log-probabilities"),
        (Stub("vllm", shifted=True), "echo", "written"),
        (Stub("llama.cpp", biases=False), "forced", "forced by logit_bias, and the server chose"),
        (Stub("vllm", doubles_bos=True), "echo", "beginning-of-text"),
        (Stub("vllm", wraps=True), "echo", "chat template"),
        (Stub("openai", wraps=True), "echo", "not the text"),
        (Stub("ollama"), "echo", "chat template"),
        (Stub("vllm"), "forced", "only llama-server"),
    ],
)
def test_a_way_that_the_server_does_not_do_is_refused(stub: Stub, way: str, message: str) -> None:
    with serving(stub) as address, pytest.raises(EngineError, match=message):
        engine_at(address, way=way)


def test_a_context_that_the_server_cuts_is_an_error() -> None:
    long = [Choices("word " * 60, (" yes", " no"))]
    for stub in (Stub("vllm"), Stub("llama.cpp", echoes=False)):
        with serving(stub) as address:
            engine = engine_at(address)
            stub.cuts_to = 100
            with pytest.raises(EngineError, match="cut a prompt"):
                list(engine.choices(long))
            with pytest.raises(EngineError, match="cut a prompt"):
                list(engine.generate([Prompt("word " * 60)], SAMPLED))


@pytest.mark.parametrize(
    "stub", [Stub(echoes=False), Stub("ollama"), Stub(completes=False)], ids=["text", "ollama", "chat"]
)
def test_a_question_by_first_tokens_that_the_server_cuts_is_an_error(stub: Stub) -> None:
    with serving(stub) as address:
        engine = engine_at(address)
        stub.cuts_to = 20
        with pytest.raises(EngineError, match="cut a prompt of 60 words to 20 tokens"):
            list(engine.choices([Choices("word " * 60, ("A", "B"))]))


def test_ollama_is_given_the_whole_context_of_the_model() -> None:
    stub = Stub("ollama", odd={"/api/show": {"model_info": {"llama.context_length": 77}}})
    with serving(stub) as address:
        engine = engine_at(address)
        list(engine.choices(LETTERS[:2]))
        list(engine.generate([Prompt("Hi")], SAMPLED))
    assert stub.contexts == {77}


def test_a_server_that_changes_makes_what_it_answered_invalid() -> None:
    for kind in ("vllm", "llama.cpp", "openai"):
        stub = Stub(kind)
        with serving(stub) as address:
            engine = engine_at(address)
            stub.becomes = 0
            with pytest.raises(ModelChanged, match=r"b1, is b2"):
                list(engine.choices(QUESTIONS[:3]))


def test_another_model_in_a_reply_ends_the_asking() -> None:
    stub = Stub("vllm")
    with serving(stub) as address:
        answers = engine_at(address, concurrency=1).choices(QUESTIONS)
        next(answers)
        stub.model = "other"
        with pytest.raises(ModelChanged, match="'stub' to 'other'"):
            list(answers)


def test_the_model_is_named_where_there_are_several() -> None:
    with serving(Stub()) as address:
        assert engine_at(f"{address}#stub").describe()["model"] == "stub"
        with pytest.raises(ModelError, match="did you mean 'stub'"):
            engine_at(f"{address}#stab")


# ---- failures, limits, budget


def test_when_three_of_ten_calls_fail_every_item_is_answered_exactly() -> None:
    stub = Stub("vllm", failing=3)
    with serving(stub) as address:
        assert_exact(dict(engine_at(address, attempts=20).choices(QUESTIONS)), QUESTIONS)
    assert set(stub.failures) == {"429", "500", "broken", "null", "empty", "usage", "gzip", "nested"}


JSON = st.recursive(
    st.none() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(PATHS)), JSON)
@example("/props", {"default_generation_settings": {"n_ctx": "x"}})
@example("/props", {"default_generation_settings": "x"})
@example("/api/tags", {"models": [1]})
@example("/api/show", {"model_info": [1]})
@example("/v1/completions", {"choices": [{"text": "a", "logprobs": None}], "usage": "x"})
def test_a_server_that_says_odd_things_of_itself_is_no_crash(path: str, reply: Any) -> None:
    described: dict[str, Any] = {"way": None}
    with serving(Stub(PATHS[path], odd={path: reply})) as address, suppress(CrushtestError):
        described = engine_at(address, attempts=1).describe()
        assert described["address"] == address
    assert described["way"] in (None, *WAYS)


@settings(max_examples=40, deadline=None)
@given(JSON)
@example({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}], "usage": "x"})
def test_a_reply_of_any_shape_is_no_crash(reply: Any) -> None:
    prompts, stub = [Prompt("Hi", chat=True)], Stub(completes=False, likeliest=0)
    with serving(stub) as address:
        engine = engine_at(address, attempts=1, concurrency=1)
        stub.odd = {"/v1/chat/completions": reply}
        with pytest.raises(CrushtestError):
            list(engine.generate(prompts, SAMPLED))


def test_spent_attempts_end_the_asking_and_nothing_is_lost_or_made_up() -> None:
    stub, answered = Stub("vllm"), dict[int, Any]()
    with serving(stub) as address:
        stub.failing_after = 12
        with pytest.raises(ModelError, match="kept, run this again later"):
            list(until_it_ends(engine_at(address, attempts=1, concurrency=3).choices(QUESTIONS), answered))
        assert 0 < len(answered) < len(QUESTIONS)
        stub.failing_after, stub.failing = None, 0
        rest = dict(engine_at(address).choices(QUESTIONS, done=frozenset(answered)))
    assert not set(answered) & set(rest)
    assert_exact(answered | rest, QUESTIONS)


def test_a_server_that_is_gone_ends_the_asking_and_keeps_what_was_answered() -> None:
    with serving(Stub("vllm")) as address:
        answers = engine_at(address, attempts=1, concurrency=1).choices(QUESTIONS)
        next(answers)
    with pytest.raises(ModelError, match=r"could not be reached.*run this again later"):
        list(answers)


def test_a_server_that_never_answered_is_looked_for_at_its_address() -> None:
    with serving(Stub("vllm")) as address:
        pass
    with pytest.raises(ModelError, match=r"could not be reached.*is the address right, and the server up\?"):
        engine_at(address, attempts=1)


def test_a_dripping_reply_ends_at_the_deadline_a_huge_one_at_its_size() -> None:
    stub = Stub()
    with serving(stub) as address:
        slow = engine_at(address, attempts=1, deadline_s=0.2, concurrency=1)
        small = engine_at(address, attempts=1, reply_bytes=400, concurrency=1)
        stub.drip_s = 0.01
        with pytest.raises(ModelError, match=r"not whole after 0\.2 s"):
            list(slow.generate([Prompt("Hi", chat=True)], Sampling(max_tokens=200)))
        stub.drip_s = 0
        [(_, large)] = small.generate([Prompt("Hi", chat=True)], Sampling(max_tokens=900))
    assert "larger than 400 bytes" in large.reason


@pytest.mark.parametrize("budget", [{"max_requests": 40}, {"max_tokens": 400}])
def test_a_spent_budget_keeps_what_is_answered_and_the_rest_is_asked_later(budget: dict[str, int]) -> None:
    stub, answered = Stub("vllm"), {}
    with serving(stub) as address:
        with pytest.raises(BudgetSpent, match="max_"):
            answered.update(until_it_ends(engine_at(address, **budget).choices(QUESTIONS), answered))
        stub.prompts.clear()
        rest = dict(engine_at(address).choices(QUESTIONS, done=frozenset(answered)))
    assert_exact(answered | rest, QUESTIONS)
    assert not set(answered) & set(rest)
    options = 2
    assert sum(stub.prompts.values()) <= len(rest) * options + 5, "what is done is not asked again"


class Slow(Stub):
    """Whose answers take so long that others are asked for meanwhile."""

    def reply(self, *asked: Any) -> Any:
        time.sleep(0.05)
        return super().reply(*asked)


def test_no_more_requests_run_at_once_than_allowed() -> None:
    stub = Slow("vllm")
    with serving(stub) as address:
        list(engine_at(address, concurrency=3).choices(QUESTIONS))
    assert 1 < stub.busiest <= 3


def test_each_completion_has_a_seed_of_its_own_and_the_same_one_again() -> None:
    prompts = [Prompt("Hi"), Prompt("Hi", sample=1), Prompt("Ho")]
    stub = Stub("vllm")
    with serving(stub) as address:
        engine = engine_at(address)
        first = dict(engine.generate(prompts, SAMPLED))
        assert len(stub.seeds - {0}) == len(prompts)
        assert dict(engine.generate(prompts, SAMPLED)) == first


# ---- keys


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-very-secret"
    monkeypatch.setenv("SOME_KEY", key)
    stub = Stub("openai", echoes=False, likeliest=3, key=key)
    with serving(stub) as address:
        engine = engine_at(address, key_variable="SOME_KEY")
        assert stub.keys == {f"Bearer {key}"}
        assert "at most 3" in json.dumps(engine.describe())
        assert key not in json.dumps(engine.describe())
        assert key not in repr(engine)
        with pytest.raises(ModelError, match="is the key right"):
            engine_at(address)


@pytest.mark.parametrize("host", ["example.org", "10.0.0.2", "127.example.org", "localhost.example.org"])
def test_a_key_never_crosses_a_network_over_plain_http(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    with pytest.raises(ModelError, match="https"):
        key_for(f"http://{host}/v1", "SOME_KEY", required=True)
    assert key_for(f"https://{host}/v1", "SOME_KEY", required=True) == "secret"


@pytest.mark.parametrize("address", ["http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"])
def test_a_key_may_go_to_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    assert key_for(address, "SOME_KEY", required=True) == "secret"
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ModelError, match="SOME_KEY"):
        key_for(address, "SOME_KEY", required=True)


ADDRESSES = ["http://user:word@host/v1", "https://host/v1?key=1", "http://", "demo", "http://user:wo/rd@host/v1"]
UNREADABLE = ["http://[bad/v1", "http://h:abc/v1", "http://h:99999/v1", "http://user:word@[bad/v1"]


@pytest.mark.parametrize("model", ADDRESSES + UNREADABLE)
def test_an_address_holds_no_password_and_no_query(model: str) -> None:
    with pytest.raises(ModelError) as raised:
        parse_address(model)
    assert "word" not in str(raised.value).replace("password", "")
