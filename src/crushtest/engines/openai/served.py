"""A served model that answers requests by the way that was proved."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from crushtest.engines.base import Reference
from crushtest.engines.openai.prove import Proof
from crushtest.engines.openai.recognise import recognise
from crushtest.engines.openai.ways.way import Setting, Way
from crushtest.engines.openai.writing import Writing, added_by_server
from crushtest.errors import EngineError, ModelChanged
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

Request = TypeVar("Request")
Answer = TypeVar("Answer")


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
            "thinking": dict(self.setting.variables) or None,
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


def start_token(setting: Setting) -> str | None:
    """Return the text of the token that stands before texts; None if the server cuts them into tokens itself."""
    return None if setting.tokenizer is None else setting.tokenizer.start_text
