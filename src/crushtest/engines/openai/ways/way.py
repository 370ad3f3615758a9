"""What every way of scoring does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from crushtest.engines.openai.client import Client
from crushtest.engines.openai.recognise import Server
from crushtest.engines.token_model import Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Passage, PassageScore, ReadChoice, Unanswered

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Name = Literal["echo", "forced", "first_token", "read"]
Asks = Literal["text", "message"]
FIXED = "The capital of France is"
"""The text on which a way is proved."""
MOST_SPECIAL = 2
"""Tokens that a tokenizer puts around a text at most: one in front, one at its end."""
CLOSE_NATS = 0.3
"""How far two readings of one log-probability may lie apart: quantized kernels round otherwise in another batch."""


class Unproved(EngineError):
    """A server does not do what a way needs; the message says what it did."""


@dataclass(frozen=True)
class Setting:
    """What every way works with.

    tokenizer  None if only the server knows its tokens
    variables  what the server's chat template is given besides messages
    truncated  lines that were cut on the left to fit, per request
    """

    client: Client
    server: Server
    tokenizer: Tokenizer | None
    concurrency: int
    variables: Mapping[str, Any] = field(default_factory=dict)
    truncated: list[int] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The address, with which complaints begin."""
        return self.client.address.base

    def each(
        self, requests: Sequence[Request], answer: Callable[[Request], Answer]
    ) -> Iterator[tuple[int, Answer | Unanswered]]:
        """Yield (index, answer) of each request as answers come, several at once; the reason where one failed."""
        jobs = ((index, partial(answer, request)) for index, request in enumerate(requests))
        for index, given in self.client.in_parallel(jobs, self.concurrency):
            yield index, Unanswered(given) if isinstance(given, str) else given

    def refuse_wrapped(self) -> None:
        """Raise EngineError if the server puts what /v1/completions is sent into its chat template.

        Then two texts in one prompt have fewer tokens than two prompts have: the template's are counted once.
        """
        if self.tokenizer is not None:
            return  # Then every reply says whether more was read than was sent.
        once, twice = (self._tokens_read(text) for text in (FIXED, f"{FIXED} {FIXED}"))
        if once is not None and twice is not None and 2 * once - twice > MOST_SPECIAL:
            raise EngineError(f"{self.base}: the server puts what it is sent into a chat template")

    def _tokens_read(self, text: str) -> int | None:
        body = {"model": self.server.model, "prompt": text, "max_tokens": 1, "temperature": 0}
        read: int | None = self.client.post("completions", body, lambda reply: reply["usage"]["prompt_tokens"])
        return read

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

    def check_words(self, text: str, read: object) -> None:
        """Raise EngineError if a server read fewer tokens than a text has words: it cut it."""
        words = len(text.split())
        if isinstance(read, int) and read < words:
            raise EngineError(f"{self.base}: the server cut a prompt of {words} words to {read} tokens")


class Way(Protocol):
    """One way of scoring options, and of texts where `passages` does not refuse."""

    @property
    def name(self) -> Name: ...
    @property
    def describes(self) -> str: ...
    @property
    def asks(self) -> Asks:
        """How the model is asked: `text`, a text to continue, or `message`, a user's message to reply to."""
        ...

    def prove(self) -> dict[str, Any]:
        """Return the numbers of the probe. Raises Unproved, or what the client raises."""
        ...

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | ReadChoice | Unanswered]]:
        """Yield the scores of each request, or what was read from its reply, as they come."""
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
    """Return a log-probability of a reply. Raises ValueError for anything that is no number."""
    number = float(value)
    # Sums in float32 end a little above 0.
    if not math.isfinite(number) or number > 1e-3:
        raise ValueError
    return min(number, 0.0)


def read_likely(reply: Any) -> Likely:
    """Return the first written token of a reply to /v1/completions or /v1/chat/completions, in either of their forms.

    Raises Unproved if the reply has no log-probabilities; KeyError, IndexError, TypeError or ValueError if it cannot be
    read.
    """
    choice = reply["choices"][0]
    given, read = choice.get("logprobs"), (reply.get("usage") or {}).get("prompt_tokens")
    if given is None:
        raise Unproved("it gives no log-probabilities")
    if given.get("content"):
        first = given["content"][0]
        top = {str(each["token"]): log_probability(each["logprob"]) for each in first["top_logprobs"]}
        return Likely(str(first["token"]), log_probability(first["logprob"]), top, read)
    top = {str(token): log_probability(value) for token, value in (given["top_logprobs"][0] or {}).items()}
    return Likely(str(given["tokens"][0]), log_probability(given["token_logprobs"][0]), top, read)
