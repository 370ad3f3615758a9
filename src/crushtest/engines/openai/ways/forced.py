"""Forced decoding on llama-server: one token is made certain by a bias, and the reply has its unbiased probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from crushtest.engines.encoding import encode
from crushtest.engines.openai.ways.by_tokens import ServedTokens
from crushtest.engines.openai.ways.way import CLOSE_NATS, FIXED, Asks, Name, Setting, Unproved, log_probability
from crushtest.engines.packing import Line
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Passage, PassageScore, Unanswered

CERTAIN = 1e9
"""A bias with which no other token is chosen."""
LISTED = 200
"""How many likeliest tokens are looked at to find an unlikely one."""
SMALL = 10.0
"""A bias that an unlikely token is forced with as well; its own value must not move with it."""


class Forced(NamedTuple):
    """The token that a server chose, its log-probability, and the likeliest ones.

    token  None where the server gives no log-probabilities: it chose a token that is a part of a character
    """

    token: int | None
    logprob: float
    top: list[tuple[int, float]]
    read: object


@dataclass(frozen=True)
class Forcing:
    """`/completion` with token ids and `logit_bias`, a request per scored token.

    takes_passages  whether whole texts are scored, too: a request per token of them
    """

    setting: Setting
    takes_passages: bool = False
    asks: Asks = "text"
    name: Name = "forced"
    describes: str = "log-probabilities of tokens forced by logit_bias, one request per token"

    def prove(self) -> dict[str, Any]:
        """Return the values of the likeliest and of an unlikely next token, listed and forced with two biases."""
        if self.setting.server.kind != "llama.cpp" or self.setting.tokenizer is None:
            raise Unproved("only llama-server gives a forced token its unbiased log-probability")
        prompt = list(encode(self.setting.tokenizer, [FIXED])[0])
        listed = self._ask(prompt, self._whole, bias=CERTAIN, top=LISTED)
        self.setting.check_read(len(prompt), listed.read)
        likeliest, best = self._first_whole(prompt, listed.top)
        unlikely = self._first_whole(prompt, [each for each in listed.top if 2 < best - each[1] < SMALL - 1])
        values = {
            "likeliest_listed": best,
            "likeliest_forced": self._forced(prompt, likeliest, CERTAIN),
            "unlikely_listed": unlikely[1],
            "unlikely_forced": self._forced(prompt, unlikely[0], CERTAIN),
            "unlikely_forced_by_10": self._forced(prompt, unlikely[0], SMALL),
        }
        for name, value in values.items():
            own = values[f"{name.partition('_')[0]}_listed"]
            if abs(value - own) > CLOSE_NATS:
                raise Unproved(f"a token of {own:.2f} nats has {value:.2f} nats when it is forced ({name})")
        return values

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        """Yield each option's log-likelihood."""
        return self._model().choices(requests)

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield each text's log-likelihood, if that was asked for."""
        if not self.takes_passages:
            raise EngineError(
                f"{self.setting.base}: whole texts take a request per token this way; allow it with "
                "openai:forced_passages=true"
            )
        return self._model().passages(requests)

    def _model(self) -> ServedTokens:
        assert self.setting.tokenizer is not None
        return ServedTokens(self.setting, self.setting.tokenizer, self._score)

    def _score(self, line: Line) -> float:
        tokens = list(line.tokens)
        return sum(self._forced(tokens[:at], tokens[at], CERTAIN) for at in range(line.start, len(tokens)))

    def _forced(self, prompt: list[int], token: int, bias: float) -> float:
        answer = self._ask(prompt, token, bias=bias, top=1)
        self.setting.check_read(len(prompt), answer.read)
        if answer.token is None:
            return self._listed(prompt, token)
        if answer.token != token:
            raise Unproved(f"token {token} was forced by logit_bias, and the server chose {answer.token}")
        return answer.logprob

    def _listed(self, prompt: list[int], token: int) -> float:
        """Return the log-probability of a token from the list of likeliest ones, which a bias does not change."""
        for top in (LISTED, self._vocabulary):
            listed = dict(self._ask(prompt, self._whole, bias=CERTAIN, top=top).top)
            if token in listed:
                return listed[token]
        raise Unproved(f"token {token} is a part of a character, and not in the list of all tokens either")

    def _first_whole(self, prompt: list[int], top: Sequence[tuple[int, float]]) -> tuple[int, float]:
        """Return the first of these tokens that the server gives log-probabilities for. Raises Unproved."""
        for token, value in top:
            if self._ask(prompt, token, bias=CERTAIN, top=1).token is not None:
                return token, value
        raise Unproved(f"none of the {LISTED} likeliest tokens is likely or unlikely enough to be looked at")

    @cached_property
    def _whole(self) -> int:
        """A token that is no part of a character."""
        assert self.setting.tokenizer is not None
        return int(encode(self.setting.tokenizer, ["a"])[0][-1])

    @property
    def _vocabulary(self) -> int:
        """How many tokens there are, or more."""
        return int((self.setting.server.identity.get("weights") or {}).get("n_vocab") or 2**20)

    def _ask(self, prompt: list[int], token: int | None, *, bias: float, top: int) -> Forced:
        body = {
            "prompt": prompt,
            "logit_bias": [] if token is None else [[token, bias]],
            "n_predict": 1,
            "n_probs": top,
            "temperature": 0,
            "samplers": [],
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "cache_prompt": True,
        }
        return self.setting.client.post("/completion", body, _read)


def _read(reply: Any) -> Forced:
    # llama-server leaves them out where the text so far ends within a character.
    if (
        "completion_probabilities" not in reply
        and reply["content"] in ("", "\ufffd")
        and reply["tokens_predicted"] == 1
    ):
        return Forced(None, 0.0, [], reply.get("tokens_evaluated"))
    first = reply["completion_probabilities"][0]
    top = [(int(each["id"]), log_probability(each["logprob"])) for each in first["top_logprobs"]]
    return Forced(int(first["id"]), log_probability(first["logprob"]), top, reply.get("tokens_evaluated"))
