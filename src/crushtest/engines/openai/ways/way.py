"""What every way of scoring does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from crushtest.engines.openai.client import Client
from crushtest.engines.openai.recognise import Server
from crushtest.engines.token_model import Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Passage, PassageScore, Unanswered

Name = Literal["echo", "forced", "first_token"]
FIXED = "The capital of France is"
"""The text on which a way is proved."""
CLOSE_NATS = 0.3
"""How far two readings of one log-probability may lie apart: quantized kernels round otherwise in another batch."""


class Unproved(EngineError):
    """A server does not do what a way needs; the message says what it did."""


@dataclass(frozen=True)
class Setting:
    """What every way works with. `tokenizer` is None if only the server knows its tokens."""

    client: Client
    server: Server
    tokenizer: Tokenizer | None
    concurrency: int

    @property
    def base(self) -> str:
        """The address, with which complaints begin."""
        return self.client.address.base

    def check_read(self, sent: int, read: object) -> None:
        """Raise EngineError unless a server read as many tokens as it was sent."""
        if not isinstance(read, int) or read == sent:
            return
        if read < sent:
            raise EngineError(
                f"{self.base}: the server cut a prompt of {sent} tokens to {read}; give it a longer context"
            )
        what = "puts a beginning-of-text token before it" if read == sent + 1 else "puts it into a chat template"
        raise EngineError(f"{self.base}: the server read {read} tokens where {sent} were sent: it {what}")


class Way(Protocol):
    """One way of scoring options, and of texts where `passages` does not refuse."""

    @property
    def name(self) -> Name: ...
    @property
    def describes(self) -> str: ...

    def prove(self) -> dict[str, Any]:
        """Return the numbers of the probe. Raises Unproved, or what the client raises."""
        ...

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        """Yield the scores of each request as they come."""
        ...

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield the scores of each text as they come. Raises EngineError if this way has none."""
        ...


class Likely(NamedTuple):
    """A first token that a server wrote, its log-probability in nats, and those of the likeliest ones by their text."""

    text: str
    logprob: float
    top: dict[str, float]
    read: object = None


def log_probability(value: Any) -> float:
    """Return a log-probability of a reply. Raises ValueError for what is none."""
    number = float(value)
    # Sums in float32 end a little above 0.
    if not math.isfinite(number) or number > 1e-3:
        raise ValueError
    return min(number, 0.0)


def read_likely(reply: Any) -> Likely:
    """Return the first written token of a reply to /v1/completions or /v1/chat/completions, in either of their forms.

    Raises KeyError, IndexError, TypeError or ValueError if the reply has no log-probabilities.
    """
    choice = reply["choices"][0]
    given, read = choice["logprobs"], (reply.get("usage") or {}).get("prompt_tokens")
    if given.get("content"):
        first = given["content"][0]
        top = {str(each["token"]): log_probability(each["logprob"]) for each in first["top_logprobs"]}
        return Likely(str(first["token"]), log_probability(first["logprob"]), top, read)
    top = {str(token): log_probability(value) for token, value in (given["top_logprobs"][0] or {}).items()}
    return Likely(str(given["tokens"][0]), log_probability(given["token_logprobs"][0]), top, read)
