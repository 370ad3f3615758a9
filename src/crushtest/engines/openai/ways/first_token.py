"""First-token log-probabilities: for questions whose options are single letters, from the likeliest first tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from crushtest.engines.encoding import choice_pairs, conversation, encode
from crushtest.engines.openai.client import NoSuchPath
from crushtest.engines.openai.tokenizers import template_arguments
from crushtest.engines.openai.ways.way import (
    Asks,
    Likely,
    Name,
    Setting,
    Unproved,
    log_probability,
    read_likely,
)
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Passage, PassageScore, Unanswered
from crushtest.services.retrying import Refused, Transient

GIVES = "the likeliest first tokens only"
WIDTHS = (20, 11, 5)
"""How many likeliest tokens servers give: OpenAI and vLLM 20, mlx-lm 11, others 5."""
QUESTION = "Which letter comes first in the alphabet?\nA. M\nB. D\nAnswer:"
Form = Literal["text", "chat", "ollama"]


@dataclass
class FirstToken:
    """The likeliest first tokens of a continuation.

    form   `text`: of the text as it is; `ollama`: likewise, by Ollama's own request; `chat`: of the reply to a user's
           message, because the server knows nothing else
    width  how many the server gives, once that is proved
    """

    setting: Setting
    form: Form | None = None
    width: int = 0
    name: Name = field(default="first_token", init=False)

    @property
    def asks(self) -> Asks:
        """Return `message` if the server knows chat only."""
        return "message" if self.form == "chat" else "text"

    @property
    def describes(self) -> str:
        """How it scores, in words."""
        of = "the reply to a user's message" if self.form == "chat" else "the continuation"
        return f"the {self.width} likeliest first tokens of {of}, for options that are single letters"

    def prove(self) -> dict[str, Any]:
        """Return the form and the number of likeliest tokens that the server gives, and the probability they cover."""
        forms: tuple[Form, ...] = ("ollama",) if self.setting.server.kind == "ollama" else ("text", "chat")
        failures = []
        for self.form in forms:
            for self.width in WIDTHS:
                try:
                    return self._probe()
                except (Refused, EngineError, NoSuchPath) as problem:
                    failures.append(str(problem))
                except Transient as problem:
                    self.setting.client.check_alive(problem)
                    failures.append(str(problem))
                    break  # As many attempts again for every width would take minutes.
        raise Unproved(failures[0])

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ChoiceScores | Unanswered]]:
        """Yield each letter's log-likelihood; a question with a letter that the server does not list is unanswered."""
        refuse_words(self.setting, requests, GIVES)
        yield from self.setting.each(requests, self._score)

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Refuse: a text is more than its first token."""
        raise EngineError(
            f"{self.setting.base}: this server gives no log-likelihood of a text (perplexity, bits per byte)"
        )

    def _probe(self) -> dict[str, Any]:
        if self.form == "text":
            self.setting.refuse_wrapped()
        likely = self._ask(QUESTION, chat=False)
        if len(likely.top) < 2:
            raise Unproved(f"it gives {len(likely.top)} likeliest tokens")
        covered = sum(map(math.exp, likely.top.values()))
        if covered > 1.01:
            raise Unproved(f"the probabilities of its likeliest tokens add up to {covered:.3f}")
        best = max(likely.top.values())
        if likely.text in likely.top and likely.logprob < best - 0.01:
            raise Unproved("the token that it wrote, greedily, is not its likeliest one")
        return {"form": self.form, "likeliest_tokens": len(likely.top), "covered_probability": covered}

    def _score(self, request: Choices) -> ChoiceScores:
        in_template = request.chat and self.setting.tokenizer is not None
        context = request.context
        if in_template and self.setting.tokenizer is not None:
            context = choice_pairs(self.setting.tokenizer, request)[0][0]
        try:
            likely = self._ask(context, chat=request.chat and not in_template, system=request.system)
        except Unproved as problem:  # The way is proved; some servers have none where the model ends its text at once.
            raise Refused(f"the server was asked for the likeliest first tokens, and {problem}") from None
        values = [letter_logprob(option, likely.top, exact=self.form != "chat") for option in request.options]
        lost = [option.strip() for option, value in zip(request.options, values, strict=True) if value is None]
        if lost:
            below = min(likely.top.values())
            raise Refused(
                f"option {', '.join(lost)} is not scored: below {below:.2f} nats, that of the last of the "
                f"{len(likely.top)} likeliest tokens that the server gives"
            )
        return ChoiceScores(
            logprobs=tuple(value for value in values if value is not None),
            tokens=(1,) * len(values),
            bytes=tuple(len(option.encode()) for option in request.options),
        )

    def _ask(self, text: str, *, chat: bool, system: str | None = None) -> Likely:
        client, model = self.setting.client, self.setting.server.model
        if chat and self.form != "chat":
            raise EngineError(
                f"{self.setting.base}: this question belongs into the chat template, and the server renders none; "
                "name the model's tokenizer: openai:tokenizer=ORG/MODEL"
            )
        tokenizer = self.setting.tokenizer
        if self.form == "text" and tokenizer is not None:
            prompt = list(encode(tokenizer, [text])[0])
            likely = self._continue(prompt)
            self.setting.check_read(len(prompt), likely.read)
            return likely
        if self.form == "ollama":
            likely = self._ollama(text)
        elif self.form == "chat":
            messages = conversation(text, system=system if chat else None)
            body = {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0}
            body |= {"logprobs": True, "top_logprobs": self.width, **template_arguments(self.setting.variables)}
            likely = client.post("chat/completions", body, read_likely)
        else:
            likely = self._continue(text)
        self.setting.check_words(text, likely.read)
        return likely

    def _continue(self, prompt: str | list[int]) -> Likely:
        body = {"model": self.setting.server.model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        return self.setting.client.post("completions", body | {"logprobs": self.width}, read_likely)

    def _ollama(self, text: str) -> Likely:
        options = {"temperature": 0, "num_predict": 1}
        if self.setting.server.context is not None:
            options["num_ctx"] = self.setting.server.context  # Else Ollama takes a short one and cuts what is longer.
        body = {"model": self.setting.server.model, "prompt": text, "raw": True, "stream": False, "options": options}
        body |= {"logprobs": True, "top_logprobs": self.width}
        return self.setting.client.post("/api/generate", body, _read_ollama)


def refuse_words(setting: Setting, requests: Sequence[Choices], gives: str) -> None:
    """Raise EngineError, before anything is asked, if an option is no single letter. `gives`: what the server gives."""
    for request in requests:
        if other := next((option for option in request.options if not is_letter(option)), None):
            raise EngineError(
                f"{setting.base}: this server gives {gives}, which answers questions whose options are single letters "
                f"(one is {other[:40]!r})"
            )


def is_letter(option: str) -> bool:
    """Return True for an option that is one letter, with or without space around it.

    >>> is_letter(" A"), is_letter("Paris")
    (True, False)
    """
    return len(option.strip()) == 1 and option.strip().isalpha()


def letter_logprob(option: str, top: Mapping[str, float], *, exact: bool) -> float | None:
    """Return the log-probability of a letter as the first token; None if the token is not listed.

    exact  the token must be the option to the last space; else the letter counts with and without space around it
    """
    values = [value for text, value in top.items() if text == option or (not exact and text.strip() == option.strip())]
    if not values:
        return None
    return min(math.log(sum(map(math.exp, values))), 0.0)


def _read_ollama(reply: Any) -> Likely:
    first = reply["logprobs"][0]
    top = {str(each["token"]): log_probability(each["logprob"]) for each in first["top_logprobs"]}
    return Likely(str(first["token"]), log_probability(first["logprob"]), top, reply.get("prompt_eval_count"))
