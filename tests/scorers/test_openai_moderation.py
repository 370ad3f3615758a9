"""Against an endpoint on this machine: every text accounted for, none asked twice, none made up."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import ModelError, StoreError, UsageError
from crushtest.files.append_log import AppendLog
from crushtest.files.atomic import file_name
from crushtest.pipeline.run import run_study
from crushtest.records import Exchange, Score
from crushtest.registry import SCORERS, scorer_identity
from crushtest.scorers import openai_moderation as module
from crushtest.scorers.calling import facts_of
from crushtest.scorers.openai_moderation import openai_moderation
from crushtest.study.folder import StudyFolder
from crushtest.study.rows import SCORES
from crushtest.study.spec import build_spec
from support.moderation_server import CATEGORIES, PATIENCE_S, Endpoint, score, serving

KEY = "sk-test-not-a-real-key"
HOSTILE = ["a\x00b", "\U0001f600\U0001f389", "\u202eright to left\u202c", "\ud800 half", "x" * 100_000, "<script>"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key, an empty cache, no memory of other tests."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    module._memory_in.cache_clear()


def scored(address: str, texts: list[str], **options: Any) -> list[Score]:
    settings = {"timeout_s": PATIENCE_S, "first_wait_s": 0.001, "base_url": address} | options
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


# ---- a service that drips, floods or is busy -------------------------------------------------------


class Odd(Endpoint):
    """Gives one reply to everything, byte by byte if it drips; the headers too."""

    def __init__(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.content, self.headers = content, headers or {}

    def reply(self, texts: list[str]) -> tuple[int, dict[str, str], bytes, float]:
        self.requests += 1
        return 200, self.headers, self.content, 0.0


ODD_REPLIES = {
    "deep": (b"[" * 200_000, {}),
    "a number of 400 digits": (
        b'{"model": "m", "results": [{"flagged": false, "category_scores": {"hate": 1' + b"0" * 400 + b"}}]}",
        {},
    ),
    "a number of 5,000 digits": (b'{"model": "m", "results": ' + b"9" * 5_000 + b"}", {}),
    "no gzip": (b"\x1f\x8b damaged", {"Content-Encoding": "gzip"}),
    "names that are numbers": (b'{"model": 5, "results": [{"flagged": false, "category_scores": [1]}]}', {}),
    "no text": (b"\xff\xfe\x00", {}),
    "flood": (b'"' + b"x" * 10_000_001 + b'"', {}),
}


@pytest.mark.parametrize(("content", "headers"), ODD_REPLIES.values(), ids=ODD_REPLIES)
def test_an_odd_reply_leaves_its_text_unscored(content: bytes, headers: dict[str, str]) -> None:
    endpoint = Odd(content, headers)
    with serving(endpoint) as address:
        [given] = scored(address, ["a"], attempts=2, timeout_s=60.0)
    assert given.value is None
    assert given.reason is not None
    assert given.reason.startswith("the service's ")
    assert endpoint.requests == 2


@contextlib.contextmanager
def dripping(beginning: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve replies that begin so and never end; gives the base address."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    talk = tls.wrap_socket(connection, server_side=True) if tls else connection
                    with talk:
                        talk.recv(65536)
                        talk.sendall(beginning)
                        while not stop.wait(0.05):
                            talk.sendall(b"x")

        threading.Thread(target=drip, daemon=True).start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.getsockname()[1]}/v1"
        finally:
            stop.set()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of this machine that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    key, signed, both = folder / "key.pem", folder / "signed.pem", folder / "both.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(signed)]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


BEGINNINGS = [
    b"",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]


def assert_hung_up_on(address: str) -> None:
    began = time.monotonic()
    [given] = scored(address, ["a"], attempts=2, timeout_s=1.0, deadline_s=0.4)
    assert given.value is None
    assert "not whole after 0.4 s" in str(given.reason)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_service_that_drips_is_hung_up_on_at_the_deadline(beginning: bytes) -> None:
    with dripping(beginning) as address:
        assert_hung_up_on(address)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_service_that_drips_over_tls_is_hung_up_on_at_the_deadline(
    beginning: bytes, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with dripping(beginning, tls) as address:
        assert_hung_up_on(address)


def test_a_busy_service_is_never_asked_for_halves() -> None:
    sizes: list[int] = []

    def busy(texts: list[str]) -> int:
        sizes.append(len(texts))
        return 429

    with serving(Endpoint(always=busy)) as address, pytest.raises(ModelError, match="status 429"):
        scored(address, [f"text {n}" for n in range(6)], attempts=2, batch_size=6)
    assert set(sizes) <= {6, 1}, "the batch, and the probe"
    assert len(sizes) <= 4


def test_a_service_that_was_busy_for_a_while_scores_everything() -> None:
    endpoint = Endpoint()
    endpoint.always = lambda texts: 429 if endpoint.requests <= 3 else None
    with serving(endpoint) as address:
        scores = scored(address, [f"text {n}" for n in range(6)], attempts=2, batch_size=6)
    assert all(given.value is not None for given in scores)


def test_patience_is_no_part_of_a_scorers_name() -> None:
    patient = "openai-moderation:hate,attempts=8,timeout_s=2.5,batch_size=4"
    assert scorer_identity(patient) == "openai-moderation:hate"
    assert scorer_identity("openai-moderation:attempts=8,category=hate") == "openai-moderation:hate"
    for spec in ("openai-moderation", "openai-moderation:hate,model=x", "profanity", "judge:m,engine=fake"):
        assert scorer_identity(spec) == spec


@pytest.mark.parametrize("spec", ["openai-moderation:hate", "openai-moderation:model=m", "openai-moderation"])
def test_more_patience_does_not_rename_a_scorer(spec: str) -> None:
    assert scorer_identity(f"{spec}{',' if ':' in spec else ':'}attempts=8") == spec


@pytest.mark.parametrize("older", ["hate,attempts=8", "category=hate,attempts=3", "category=hate", "hate"])
@pytest.mark.parametrize("now", ["hate,attempts=8", "category=hate,timeout_s=9", "category=hate", "hate"])
def test_scores_under_an_older_name_of_their_scorer_are_read(older: str, now: str, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    stored = folder.scores("dense", f"openai-moderation:{older}", "toy")
    facts = {"kind": "scores", "arm": "dense", "repeat": 0, "scorer": f"openai-moderation:{older}", "task": "toy"}
    place = tmp_path / "arms/dense/scores" / file_name(f"openai-moderation:{older}") / "toy.parquet"
    before = AppendLog(place, SCORES, Score, root=tmp_path, facts=facts)
    assert not stored.complete
    before.append("0", Score(0.25))
    before.finish(["0"])
    log = folder.scores("dense", f"openai-moderation:{now}", "toy")
    assert log.complete
    assert log.read(["0"]) == {"0": Score(0.25)}
    assert not folder.scores("dense", "openai-moderation:sexual,attempts=8", "toy").complete


@pytest.mark.parametrize(
    "line",
    [
        {"categories": 5},
        {"categories": [1]},
        {"categories": ["hate", "violence"]},
        {"scores": []},
        {"scores": ["0.5"]},
        {"scores": [None]},
        {"scores": [7.0]},
        {"scores": "half"},
        {"flagged": "no"},
        {"model": None},
        {"model": ["m"]},
        {"item": 3},
    ],
)
def test_a_wrong_line_of_the_cache_is_named_and_no_score(line: dict[str, Any], tmp_path: Path) -> None:
    endpoint = Endpoint()
    with serving(endpoint) as address:
        scored(address, ["a text"])
        [kept] = (tmp_path / "cache").rglob("*.jsonl")
        kept.write_text(json.dumps(json.loads(kept.read_text()) | line) + "\n")
        module._memory_in.cache_clear()
        with pytest.raises(StoreError, match=f"{kept.name}: line 1"):
            scored(address, ["a text"])


def test_an_outage_may_be_met_with_more_patience_in_the_same_study(tmp_path: Path) -> None:
    endpoint = Endpoint(always=lambda texts: 429)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"At {n} she"}) + "\n" for n in range(6)))

    def spec(address: str, attempts: int) -> Any:
        scorer = f"openai-moderation:hate,base_url={address},first_wait_s=0.001,attempts={attempts}"
        suite = [{"custom_prompts": {"path": str(tmp_path / "p.jsonl"), "scorers": [scorer]}}]
        arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
        return build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test")

    with serving(endpoint) as address:
        with pytest.raises(ModelError, match="run this again later"):
            run_study(spec(address, 2), tmp_path / "s")
        endpoint.always = None
        assert run_study(spec(address, 3), tmp_path / "s")
        requests = endpoint.requests
        assert not run_study(spec(address, 4), tmp_path / "s")
    assert endpoint.requests == requests
    names = {row.metric for row in StudyFolder(tmp_path / "s").read_estimates()}
    assert any(name.startswith("openai_moderation_hate") and name.endswith("_mean") for name in names)
    assert not any("0_001" in name for name in names)


@pytest.mark.parametrize("variable", ["sk-proj-abcdef", "MY KEY", ""])
def test_a_key_given_as_a_variables_name_is_not_repeated(variable: str) -> None:
    with pytest.raises(ModelError) as caught:
        facts_of(f"openai-moderation:key_variable={variable}")
    assert not variable or variable not in str(caught.value)


def test_a_key_that_cannot_be_sent_is_an_error_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    with pytest.raises(ModelError) as caught:
        facts_of("openai-moderation")
    assert "schl" not in str(caught.value)
