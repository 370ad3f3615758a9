"""Echo: the server repeats a prompt with the log-probability of each of its tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from crushtest.engines.encoding import encode
from crushtest.engines.openai.ways.by_tokens import ServedTokens
from crushtest.engines.openai.ways.way import (
    CLOSE_NATS,
    FIXED,
    Asks,
    Name,
    Setting,
    Unproved,
    log_probability,
    read_likely,
)
from crushtest.engines.packing import Line
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Passage, PassageScore, Unanswered
from crushtest.services.retrying import Refused

ODD = " qxzv"
"""Something that hardly follows any text."""


class Echoed(NamedTuple):
    """The tokens of a prompt as texts, and their log-probabilities (None for the first)."""

    tokens: list[str]
    logprobs: list[float | None]


@dataclass(frozen=True)
class Echo:
    """`/v1/completions` with `echo` and `logprobs`, given token ids where these are known."""

    setting: Setting
    asks: Asks = "text"
    name: Name = "echo"

    @property
    def describes(self) -> str:
        """How it scores, in words."""
        what = "token ids" if self.setting.tokenizer else "texts, cut into tokens by the server"
        return f"log-probabilities of echoed prompts ({what})"

    def prove(self) -> dict[str, Any]:
        """Return the log-probability of the likeliest next token, written and echoed, and of an unlikely text."""
        written = read_likely(self._ask(FIXED, echo=False))
        whole = FIXED + written.text
        echoed, odd = self._sum(FIXED, whole), self._sum(FIXED, FIXED + ODD)
        numbers = {"likeliest_written": written.logprob, "likeliest_echoed": echoed, "unlikely_echoed": odd}
        if abs(echoed - written.logprob) > CLOSE_NATS:
            raise Unproved(f"an echoed token has {echoed:.2f} nats, the same token written {written.logprob:.2f}")
        if not odd < echoed:
            raise Unproved(f"an unlikely text has {odd:.2f} nats echoed, the likeliest token {echoed:.2f}")
        return numbers

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        """Yield each option's log-likelihood."""
        if self.setting.tokenizer:
            return self._model().choices(requests)
        return self._choices_by_text(requests)

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield each text's log-likelihood."""
        if self.setting.tokenizer is None:
            raise EngineError(
                f"{self.setting.base}: texts are scored token by token, and the server does not tell its tokens; name "
                "the model's tokenizer: openai:tokenizer=ORG/MODEL"
            )
        return self._model().passages(requests)

    # ---- by tokens

    def _model(self) -> ServedTokens:
        assert self.setting.tokenizer is not None
        return ServedTokens(self.setting, self.setting.tokenizer, self._score)

    def _score(self, line: Line) -> float:
        prompt = list(line.tokens)
        echoed = self._echo(prompt)
        self.setting.check_read(len(prompt), len(echoed.logprobs))
        return sum(self._known(echoed.logprobs[line.start :]))

    # ---- by text

    def _choices_by_text(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        for request in requests:
            if request.chat or not request.context:
                raise EngineError(
                    f"{self.setting.base}: a question in the chat template, or without a context, needs the tokenizer; "
                    "name the model's: openai:tokenizer=ORG/MODEL"
                )
        yield from self.setting.each(requests, self._by_text)

    def _by_text(self, request: Choices) -> ChoiceScores:
        context = request.context.rstrip()
        scored = [self._after(context, request.context + option) for option in request.options]
        return ChoiceScores(
            logprobs=tuple(sum(values) for values in scored),
            tokens=tuple(len(values) for values in scored),
            bytes=tuple(len(option.encode()) for option in request.options),
        )

    def _after(self, context: str, whole: str) -> list[float]:
        """Return the log-probabilities of a text's tokens that end behind its context."""
        echoed = self._echo(whole)
        front = len(echoed.tokens) - len(_own(echoed.tokens, whole))
        ends = [0] * front + list(accumulate(map(len, echoed.tokens[front:])))
        # A token that spans context and option belongs to the option.
        return self._known(echoed.logprobs[bisect_right(ends, len(context)) :])

    def _sum(self, context: str, whole: str) -> float:
        if self.setting.tokenizer is None:
            return sum(self._after(context, whole))
        before, line = (list(tokens) for tokens in encode(self.setting.tokenizer, [context, whole]))
        if line[: len(before)] != before or len(line) == len(before):
            raise Unproved(f"its tokens of {whole!r} do not begin with those of {context!r}")
        return self._score(Line(line, len(before)))

    # ---- one request

    def _echo(self, prompt: str | list[int]) -> Echoed:
        return self.setting.client.post("completions", self._body(prompt, echo=True), lambda r: _read(r, prompt))

    def _ask(self, text: str, *, echo: bool) -> Any:
        prompt: str | list[int] = text
        if self.setting.tokenizer is not None:
            prompt = list(encode(self.setting.tokenizer, [text])[0])
        return self.setting.client.post("completions", self._body(prompt, echo=echo), lambda r: read_likely(r) and r)

    def _body(self, prompt: str | list[int], *, echo: bool) -> dict[str, Any]:
        body = {"model": self.setting.server.model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1}
        return body | {"echo": True} if echo else body

    def _known(self, values: Sequence[float | None]) -> list[float]:
        if any(value is None for value in values):
            raise EngineError(f"{self.setting.base}: the server gave null in place of a log-probability")
        return [value for value in values if value is not None]


def _read(reply: Any, prompt: str | list[int]) -> Echoed:
    """Return the echoed part of a reply. Raises Unproved if it has none, KeyError, ... if it cannot be read."""
    given = reply["choices"][0]["logprobs"]
    if not isinstance(given, dict) or "token_logprobs" not in given:
        raise Unproved("it takes echo and answers without the prompt's log-probabilities")
    values, tokens = given["token_logprobs"], [str(token) for token in given["tokens"]]
    read = (reply.get("usage") or {}).get("prompt_tokens")
    count = read if isinstance(read, int) else len(values) - 1
    if len(values) < count or count < 2:
        raise Unproved(f"it takes echo and answers with {len(values)} log-probabilities for {count} tokens")
    if values[0] is not None or any(value is None for value in values[1:count]):
        raise Unproved("null stands elsewhere than at the first echoed token")
    return Echoed(tokens[:count], [None, *map(log_probability, values[1:count])])


def _own(tokens: list[str], text: str) -> list[str]:
    """Return the tokens that make up a text, without one that the server put before it.

    Raises Refused if they do not: the server cut the text, put it into a chat template, or splits characters.
    """
    for own in (tokens, tokens[1:]):
        if "".join(own) == text:
            return own
    raise Refused("what the server echoes is not the text that it was sent")
