"""The `openai` engine: a model behind an address."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt

from crushtest.engines.base import Reference
from crushtest.engines.openai.client import Client, Limits
from crushtest.engines.openai.prove import Proof, prove
from crushtest.engines.openai.recognise import Server, recognise
from crushtest.engines.openai.tokenizers import tokenizer_of
from crushtest.engines.openai.ways.way import Setting, Way
from crushtest.engines.openai.writing import Writing, added_by_server
from crushtest.errors import EngineError, ModelChanged, ModelError
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
from crushtest.registry import Answers, engine
from crushtest.services.addresses import key_for, parse_address
from crushtest.services.retrying import RetryPolicy

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel

Request = TypeVar("Request")
Answer = TypeVar("Answer")
KEY_VARIABLE = "CRUSHTEST_API_KEY"
"""Not the name that other programs use: a key is sent to addresses that it was meant for, and to no others."""


@dataclass
class ServedEngine:
    """Answers requests with a served model, by the way that was proved."""

    setting: Setting
    proof: Proof
    facts: dict[str, Any]

    def choices(
        self, requests: Sequence[Choices], *, done: Container[int] = ()
    ) -> Iterator[tuple[int, ChoiceScores | ReadChoice | Unanswered]]:
        """Yield each option's log-likelihood, as the proved way has it, or the letter that was read from a reply."""
        return self._open(requests, done, lambda still: self._way().choices(still))

    def passages(
        self, requests: Sequence[Passage], *, done: Container[int] = ()
    ) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield each text's log-likelihood, if the proved way has any."""
        return self._open(requests, done, lambda still: self._way().passages(still))

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion | Unanswered]]:
        """Yield completions that the server draws."""
        return self._open(requests, done, lambda still: Writing(self.setting).generate(still, sampling))

    def attach_reference(self, reference: Reference | None) -> None:
        """Ignore it: servers give no whole distributions."""

    def describe(self) -> dict[str, Any]:
        """Return what was recognised, the way, and what every probe gave."""
        way = self.proof.way
        return {
            "engine": "openai",
            "model": self.setting.server.model,
            "address": self.setting.client.address.base,
            **self.facts,
            "server": {"kind": self.setting.server.kind, **self.setting.server.identity},
            "recognised": self.setting.server.kind != "openai",
            "way": way.name if way else None,
            "asks": way.asks if way else None,
            "scoring": way.describes if way else f"none that could be proved ({self.proof.failures})",
            "probes": self.proof.probes,
            "context_tokens": self.setting.server.context,
            "sampling": {"drawn": "by the server", "added": added_by_server(self.setting)},
            "truncated": sum(self.setting.truncated),
        }

    def _open(
        self,
        requests: Sequence[Request],
        done: Container[int],
        answer: Callable[[list[Request]], Iterator[tuple[int, Answer]]],
    ) -> Iterator[tuple[int, Answer]]:
        """Ask what is not done; every answer is of its request alone. Then see that the server is still the same."""
        places = [index for index in range(len(requests)) if index not in done]
        if not places:
            return
        with self.setting.client.required():
            for place, given in answer([requests[index] for index in places]):
                yield places[place], given
            self._check_unchanged()

    def _way(self) -> Way:
        if self.proof.way is None:
            raise EngineError(
                f"{self.setting.base}: the server gives no log-likelihoods that could be proved, only completions "
                f"({self.proof.failures})"
            )
        return self.proof.way

    def _check_unchanged(self) -> None:
        before, now = self.setting.server, recognise(self.setting.client)
        if (before.kind, before.model, before.identity) == (now.kind, now.model, now.identity):
            return
        fact = next((name for name, value in before.identity.items() if now.identity.get(name) != value), "kind")
        values = [server.identity.get(fact, server.kind) for server in (before, now)]
        raise ModelChanged(
            f"{self.setting.base}: the server changed while it was measured: {fact} was {values[0]}, is {values[1]}"
        )


def answered_by(model: str, **options: Any) -> dict[str, Any]:
    """Return what the server at an address answers, by the way that it is proved to do. Raises as the engine does."""
    way = openai(model, **options).proof.way
    answers: list[Answers] = ["prompts"]
    if way is not None:
        answers.insert(0, "choices")
    if way is not None and (way.name == "echo" or (way.name == "forced" and options["forced_passages"])):
        answers.insert(1, "passages")
    forced = {"passages": "forced_passages=true scores passages token by token, with a request for each"}
    return {"answers": tuple(answers), "hints": forced if way is not None and way.name == "forced" else {}}


@engine(
    "openai",
    runs="a model behind an address: vLLM, llama-server, SGLang, Ollama, or another server that speaks OpenAI's API",
    answers=("choices", "passages", "prompts"),
    facts=answered_by,
)
def openai(
    model: str | LoadedModel,
    *,
    way: Literal["auto", "echo", "forced", "first_token", "read"] = "auto",
    tokenizer: str | None = None,
    forced_passages: bool = False,
    concurrency: Annotated[int, Ge(1)] = 8,
    timeout_s: Annotated[float, Gt(0)] = 120.0,
    deadline_s: Annotated[float, Gt(0)] = 600.0,
    reply_bytes: Annotated[int, Ge(1)] = 2**25,
    attempts: Annotated[int, Ge(1)] = 6,
    first_wait_s: Annotated[float, Ge(0)] = 1.0,
    max_requests: Annotated[int, Ge(1)] | None = None,
    max_tokens: Annotated[int, Ge(1)] | None = None,
    key_variable: str = KEY_VARIABLE,
) -> ServedEngine:
    """Scoring and generation over HTTP, after a probe of what the server at an address really does.

    way              how options are scored; `auto`: the most exact way that the server is proved to do
    tokenizer        the model's tokenizer (hub id, folder, .gguf), for servers that do not tell their tokens
    forced_passages  also score whole texts by forcing every token: a request per token
    concurrency      requests at once
    timeout_s        longest silence; `deadline_s` is the longest time for a request, `reply_bytes` its largest reply
    attempts         for a request that fails; waits grow from `first_wait_s`, and Retry-After is heeded
    max_requests     budget per arm, repeat and run, as is `max_tokens`; what is answered is kept when it is spent
    key_variable     the environment variable with the key; it is read when it is needed, never kept or printed
    """
    if not isinstance(model, str):
        raise ModelError(f"engine 'openai' takes an address (got {model.spec!r})")
    address = parse_address(model)
    key = key_for(address.base, key_variable, required=key_variable != KEY_VARIABLE)
    limits = Limits(timeout_s, deadline_s, reply_bytes, max_requests, max_tokens)
    client = Client(address, key, limits, RetryPolicy(attempts=attempts, first_wait_s=first_wait_s))
    with client.required():
        server: Server = recognise(client)
        setting = Setting(client, server, tokenizer_of(client, server, tokenizer), concurrency)
        proof = prove(setting, way, forced_passages=forced_passages)
        facts = {"tokenizer": tokenizer, "start_token": start_token(setting)}
    return ServedEngine(setting, proof, facts)


def start_token(setting: Setting) -> str | None:
    """Return the text of the token that stands before texts; None if the server cuts them into tokens itself."""
    return None if setting.tokenizer is None else setting.tokenizer.start_text
