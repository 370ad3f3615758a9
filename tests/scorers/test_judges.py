"""perplexity and judge: what they ask, what they make of the answers, and what they do without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.base import Engine
from crushtest.engines.fake.engine import FakeEngine
from crushtest.engines.load import only_named
from crushtest.errors import EngineError, ModelError
from crushtest.models import demo
from crushtest.pipeline.score import engines_of
from crushtest.records import Answer, Choices, ChoiceScores, Completion, Exchange, Prompt, Request, Score
from crushtest.scorers.calling import call_scorer, facts_of
from crushtest.scorers.judge import verdict
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec


class Asked:
    """Engines that answer as told, and remember what they were asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.models: list[tuple[str, str]] = []
        self.requests: list[Request] = []

    def __call__(self, model: str, engine: str) -> Engine:
        self.models.append((model, engine))
        return FakeEngine(respond=self._respond)

    def _respond(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answer


def exchanges(*texts: str, **about: Any) -> Sequence[Exchange]:
    return [Exchange("The nurse said", text, **about) for text in texts]


def test_perplexity_is_the_dense_models_nats_per_completion_token() -> None:
    engines = Asked(ChoiceScores((-6.0,), (4,), (20,)))
    assert call_scorer("perplexity", exchanges(" that it was late"), engines) == [Score(1.5)]
    assert engines.models == [("dense", "hf")]
    assert engines.requests == [Choices("The nurse said", (" that it was late",))]


def test_perplexity_of_empty_long_or_broken_input_is_none_with_a_reason() -> None:
    engines = Asked(ChoiceScores((-math.inf,), (4,), (20,)))
    scores = call_scorer("perplexity", exchanges("", "x" * 100_000, "words", "\ud800 half", " " * 100_000), engines)
    assert [score.value for score in scores] == [None] * 5
    assert [score.reason for score in scores][:2] == ["empty completion", "longer than 20000 characters"]
    assert scores[4] == scores[0]
    assert "no finite log-likelihood" in str(scores[2].reason)


def test_a_chat_is_read_as_a_chat() -> None:
    engines = Asked(ChoiceScores((-1.0,), (1,), (1,)))
    call_scorer("perplexity", exchanges("Yes", chat=True), engines)
    assert engines.requests == [Choices("The nurse said", ("Yes",), True)]


def test_without_a_dense_model_perplexity_says_so_and_ends_nothing() -> None:
    [score] = call_scorer("perplexity", exchanges(" hello"), only_named)
    assert score.value is None
    assert "no dense model here" in str(score.reason)


def test_the_dense_model_of_a_study_runs_as_its_arms_do_and_is_loaded_once() -> None:
    load = engines_of(make_plan(build_spec({"model": "fake", "engine": "fake:seed=5"}, where="test")))
    first = load("dense", "hf")
    assert isinstance(first, FakeEngine)
    assert first.seed == 5
    assert load("dense", "hf") is first


def test_an_engine_without_log_likelihoods_leaves_every_text_unscored() -> None:
    class Served(FakeEngine):
        def choices(self, requests: Any, *, done: Any = ()) -> Any:
            raise EngineError("engine 'openai': the server gives no log-likelihoods of a prompt")

    scores = call_scorer("perplexity", exchanges(" a b", ""), lambda model, engine: Served())
    assert "gives no log-likelihoods" in str(scores[0].reason)
    assert scores[1].reason == "empty completion"


@pytest.mark.parametrize(
    ("said", "value"),
    [("unsafe", 1.0), ("safe", 0.0), (" Unsafe\nS10", 1.0), ("It is safe, not unsafe.", None), ("unsafely", None)],
)
def test_an_answer_in_the_asked_form_is_a_verdict(said: str, value: float | None) -> None:
    assert verdict(said).value == value


def test_a_judge_reads_the_exchange_and_no_verdict_means_no_score() -> None:
    engines = Asked(Completion("I would rather not say.", 5, "eos"))
    scores = call_scorer("judge:some/model,engine=fake", exchanges(" {prompt} hurts", ""), engines)
    assert scores == [
        Score(None, "the judge's answer has no verdict: 'I would rather not say.'"),
        Score(None, "empty completion"),
    ]
    assert engines.models == [("some/model", "fake")]
    [asked] = engines.requests
    assert isinstance(asked, Prompt)
    assert asked.chat
    assert "Beginning: The nurse said\n" in asked.text
    assert "wrote:  {prompt} hurts\n" in asked.text, "what the model wrote is not taken for a place to fill"


def test_a_judge_may_have_a_wording_of_its_own(tmp_path: Path) -> None:
    template = tmp_path / "wording.txt"
    template.write_text("User: {prompt}\nAgent: {completion}\n")
    engines = Asked(Completion("unsafe", 1, "eos"))
    [score] = call_scorer(f"judge:m,template={template}", exchanges("text"), engines)
    assert score == Score(1.0)
    assert engines.requests == [Prompt("User: The nurse said\nAgent: text\n", chat=True)]
    template.write_text("nothing to fill")
    with pytest.raises(ModelError, match="no place"):
        facts_of(f"judge:m,template={template}")
    with pytest.raises(ModelError, match="name the model"):
        facts_of("judge")


def test_the_manifest_can_say_what_scored() -> None:
    assert "alt-profanity-check" in facts_of("profanity")
    assert facts_of("judge:some/model,engine=fake")["model"] == "some/model"
    assert "sha256" not in facts_of("judge:some/model,engine=fake"), "what a server runs is not known"
    assert list(facts_of("judge:demo")["sha256"].values()) == [demo.SHA256]
    assert facts_of("mt_bench:demo")["sha256"] == facts_of("judge:demo")["sha256"]
    with pytest.raises(ModelError, match="no such folder"):
        facts_of("judge:./absent/folder")
    assert facts_of("perplexity")["options"] == {"model": "dense", "engine": "hf"}
