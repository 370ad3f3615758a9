"""Against an endpoint on this machine: every text accounted for, none asked twice, none made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import ModelError, UsageError
from crushtest.records import Exchange, Score
from crushtest.registry import SCORERS
from crushtest.scorers import openai_moderation as module
from crushtest.scorers.calling import facts_of
from crushtest.scorers.openai_moderation import openai_moderation
from support.moderation_server import CATEGORIES, Endpoint, score, serving

KEY = "sk-test-not-a-real-key"
HOSTILE = ["a\x00b", "\U0001f600\U0001f389", "\u202eright to left\u202c", "\ud800 half", "x" * 100_000, "<script>"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key, an empty cache, no memory of other tests."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    module._memory_in.cache_clear()


def scored(address: str, texts: list[str], **options: Any) -> list[Score]:
    settings = {"timeout_s": 0.2, "first_wait_s": 0.001, "base_url": address} | options
    return list(openai_moderation([Exchange("p", text) for text in texts], **settings))


def test_a_service_that_fails_every_third_time_loses_no_text() -> None:
    texts = [f"text {number}" for number in range(400)]
    poisoned = {17, 18, 19, 20, 21, 22, 23, 200, 399}
    asked = [f"{text} POISON" if number in poisoned else text for number, text in enumerate(texts)]
    endpoint = Endpoint(failing=0.3, seed=4)
    with serving(endpoint) as address:
        scores = scored(address, asked, batch_size=16, attempts=12)
    for number, (text, given) in enumerate(zip(asked, scores, strict=True)):
        if number in poisoned:
            assert given == Score(None, "the service refused the text (status 400)")
        else:
            assert given.value == pytest.approx(max(score(text, category) for category in CATEGORIES))
    assert set(endpoint.failures) >= {"429", "500", "timeout", "html", "cut", "too few", "not a number", "null"}
    assert set(endpoint.answered.values()) == {1}, "a text that has been answered is not asked again"
    assert len(endpoint.answered) == 400 - len(poisoned)


def test_a_text_at_fault_is_found_by_halving_and_the_others_are_scored() -> None:
    endpoint = Endpoint(always=lambda texts: 500 if any("bad" in text for text in texts) else None)
    with serving(endpoint) as address:
        scores = scored(address, ["a", "bad", "c", "d"], attempts=2)
    assert [given.value is None for given in scores] == [False, True, False, False]
    assert scores[1].reason == "the service answered with status 500"


def test_many_texts_at_fault_in_a_row_are_not_taken_for_an_outage() -> None:
    endpoint = Endpoint(always=lambda texts: 500 if any("bad" in text for text in texts) else None)
    with serving(endpoint) as address:
        scores = scored(address, [f"bad {n}" for n in range(12)], attempts=1)
    assert [given.value for given in scores] == [None] * 12


def test_an_outage_is_an_error_and_no_scored_text_is_asked_again() -> None:
    endpoint = Endpoint()
    first, second = [f"first {n}" for n in range(8)], [f"second {n}" for n in range(8)]
    with serving(endpoint) as address:
        scored(address, first)
        endpoint.always = lambda texts: 503
        with pytest.raises(ModelError, match="stopped answering"):
            scored(address, first + second, attempts=2)
        endpoint.always = None
        module._memory_in.cache_clear()  # another process, later
        scores = scored(address, first + second)
    assert all(given.value is not None for given in scores)
    assert set(endpoint.answered.values()) == {1}


def test_another_category_of_the_same_texts_asks_nothing() -> None:
    endpoint = Endpoint()
    with serving(endpoint) as address:
        scored(address, ["a", "b"])
        requests = endpoint.requests
        assert scored(address, ["a", "b"], category="hate") == [Score(score("a", "hate")), Score(score("b", "hate"))]
        assert [given.value in (0.0, 1.0) for given in scored(address, ["a"], category="flagged")] == [True]
        assert endpoint.requests == requests


def test_a_category_that_the_endpoint_does_not_know_is_no_zero() -> None:
    with serving(Endpoint()) as address:
        assert scored(address, ["a"], category="illicit") == [Score(None, "the endpoint gave no score of illicit")]


def test_equal_texts_are_asked_once_and_empty_ones_never() -> None:
    endpoint = Endpoint()
    with serving(endpoint) as address:
        scores = scored(address, ["same", "", "same", " \n", "\x00"])
    assert scores[0] == scores[2]
    assert [given.reason for given in scores] == [None, "empty completion", None, *["empty completion"] * 2]
    assert endpoint.answered == {"same": 1}


def test_hostile_texts_are_scored() -> None:
    with serving(Endpoint()) as address:
        assert all(given.value is not None for given in scored(address, HOSTILE))


def test_a_wait_that_the_service_asks_for_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from crushtest.services.retrying import BatchClient, RetryPolicy, Transient

    waited: list[float] = []
    answers = iter([Transient("slow", 7.0), Transient("slow"), ["done"]])

    def ask(batch: object) -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asking = BatchClient(ask, lambda text, answer: None, 8, RetryPolicy(first_wait_s=0.5), waited.append)
    assert asking.answers(["a"]) == {"a": "done"}
    assert 7.0 <= waited[0] <= 7.5
    assert 0 <= waited[1] <= 1.0


def test_a_service_that_asks_for_hours_is_not_waited_for() -> None:
    from crushtest.services.retrying import BatchClient, Transient

    def ask(batch: object) -> list[str]:
        raise Transient("the service answered with status 429", 7200.0)

    with pytest.raises(ModelError, match="asks to wait 7200 s"):
        BatchClient(ask, lambda text, answer: None, 8, sleep=lambda seconds: pytest.fail("waited")).answers(["a"])


def test_a_wrong_key_is_an_error_and_no_score() -> None:
    endpoint = Endpoint(always=lambda texts: 401)
    with serving(endpoint) as address, pytest.raises(ModelError, match="is the key right") as error:
        scored(address, ["a"])
    assert endpoint.requests == 1
    assert KEY not in str(error.value)


def test_the_key_is_sent_and_stays_out_of_facts_and_files(tmp_path: Path) -> None:
    endpoint = Endpoint()
    with serving(endpoint) as address:
        scored(address, ["a secret text"])
        facts = json.dumps(facts_of(f"openai-moderation:base_url={address}"))
    assert endpoint.keys == {f"Bearer {KEY}"}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.*"))
    assert KEY not in facts
    assert KEY.encode() not in kept
    assert b"a secret text" not in kept
    assert "omni-moderation-2024-09-26" in facts


def test_without_a_key_it_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        facts_of("openai-moderation")


@pytest.mark.parametrize("spec", ["openai-moderation:hat", "openai-moderation:batch_size=0"])
def test_options_that_do_not_exist_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        facts_of(spec)


@pytest.mark.parametrize("address", ["ftp://x", "api.openai.com", "https://me:secret@host/v1"])
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ModelError):
        facts_of(f"openai-moderation:base_url={address}")


def test_every_option_has_a_default() -> None:
    assert SCORERS.get("openai-moderation").bind({})["category"] == "any"
