"""Letters read from replies: for servers that give no log-probabilities, and questions whose options are letters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from crushtest.engines.openai.ways.first_token import QUESTION, refuse_words
from crushtest.engines.openai.ways.way import Asks, Name, Setting, Unproved
from crushtest.engines.openai.writing import Writing
from crushtest.errors import EngineError
from crushtest.records import Choices, Passage, PassageScore, Prompt, ReadChoice, Sampling, Unanswered

INSTRUCTION = "Reply with the letter of your answer only."
"""What is put before a question. Without it a model that chats explains first."""
GREEDY = Sampling(max_tokens=16)
KEPT = 200
"""Characters of a reply that are kept."""

MARKS = "*_`\"'"
BARE = re.compile(r"[(\[]?(\w)(?:[.):\]]|\s*$|\s*\n)")
SENTENCE = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|best\s+)?(?:answer|option|choice)(?:\s+is)?:?\s+[(\[]?(\w)(?:[.)\]]|\s*$|\s*\n)",
    re.IGNORECASE,
)
LABEL = re.compile(r"(?<!\w)([A-Za-z])(?=[.):\]]|\s*$)")


@dataclass
class Read:
    """Replies to a user's message, greedy and short, with the letter read from each by `read_letter`.

    repeats   whether the server gave the same reply twice
    """

    setting: Setting
    repeats: bool | None = None
    asks: Asks = field(default="message", init=False)
    name: Name = field(default="read", init=False)

    @property
    def describes(self) -> str:
        """How it answers, in words."""
        text = (
            f"no log-likelihoods: letters read from replies to a user's message, at most {GREEDY.max_tokens} tokens at "
            f"temperature 0, the question after {INSTRUCTION!r}"
        )
        return text if self.repeats is not False else f"{text}; this server does not repeat its replies"

    def prove(self) -> dict[str, Any]:
        """Return the reply to a question, the letter read from it, and whether the server repeats it."""
        first, second = (self._ask(QUESTION) for _ in range(2))
        if not first.strip():
            raise Unproved(f"its reply of at most {GREEDY.max_tokens} tokens to a question is empty")
        self.repeats = first == second
        letter = read_letter(first, ("A", "B"))
        return {
            "reply": first[:KEPT],
            "letter": None if isinstance(letter, str) else "AB"[letter],
            "repeats": self.repeats,
        }

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ReadChoice | Unanswered]]:
        """Yield the option whose letter each reply gives."""
        refuse_words(self.setting, requests, "replies only, from which letters are read")
        yield from self.setting.each(requests, self._read)

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Refuse: a reply says nothing of a text's likelihood."""
        raise EngineError(
            f"{self.setting.base}: this server gives no log-likelihood of a text (perplexity, bits per byte)"
        )

    def _read(self, request: Choices) -> ReadChoice:
        reply = self._ask(request.context)
        letter = read_letter(reply, [option.strip() for option in request.options])
        if isinstance(letter, str):
            return ReadChoice(None, reply[:KEPT], letter)
        return ReadChoice(letter, reply[:KEPT])

    def _ask(self, question: str) -> str:
        prompt = Prompt(f"{INSTRUCTION}\n\n{question}", chat=True)
        return Writing(self.setting).reply(prompt, GREEDY).text


def read_letter(reply: str, letters: Sequence[str]) -> int | str:
    """Return the index of the letter that a reply gives, or why it gives none.

    Read are a letter of the options alone or at the beginning, closed by `.`, `)`, `:`, `]` or the end of its line, and
    "the (correct) answer is B", closed likewise; with any markdown and brackets. Nothing is read if another option is
    labelled in the same way.

    >>> read_letter("**B.** A person", "AB"), read_letter("The answer is (B)", "AB"), read_letter("A person", "AB")
    (1, 1, 'the reply gives no letter of the options')
    """
    text = reply.translate(dict.fromkeys(map(ord, MARKS))).strip()
    if not text:
        return "the reply is empty"
    found = BARE.match(text) or SENTENCE.match(text)
    if found is None or found[1] not in letters:
        return "the reply gives no letter of the options"
    if {label for label in LABEL.findall(text) if label in letters} - {found[1]}:
        return "the reply gives several letters of the options"
    return list(letters).index(found[1])
