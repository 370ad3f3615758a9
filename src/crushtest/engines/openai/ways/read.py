"""Letters read from replies: for servers that give no log-probabilities, and questions whose options are letters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from crushtest.completions.thinking import after_thinking
from crushtest.engines.openai.ways.first_token import QUESTION, refuse_words
from crushtest.engines.openai.ways.way import Asks, Name, Setting, Unproved
from crushtest.engines.openai.writing import Writing
from crushtest.errors import EngineError
from crushtest.records import Choices, Passage, PassageScore, Prompt, ReadChoice, Sampling, Unanswered

INSTRUCTION = "Reply with the letter of your answer only."
"""What is put before a question. Without it a model that chats explains first."""
GIVES = "replies only, from which letters are read"
GREEDY = Sampling(max_tokens=16)
KEPT = 200
"""Characters of a reply that are kept."""

MARKS = "*_`\"'"
LETTER = r"[(\[]?(\w)"
CLOSED = r"(?:[.):\]]|\s*$|\s*\n)"
BARE = re.compile(LETTER + CLOSED)
SENTENCE = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+|best\s+)?(?:answer|option|choice)(?:\s+is)?:?\s+[(\[]?(\w)(?:[.)\]]|\s*$|\s*\n)",
    re.IGNORECASE,
)
NEXT = re.compile(rf"^\s*(?:(?:or\b|and\b|,)\s*)?{LETTER}{CLOSED}", re.IGNORECASE | re.MULTILINE)
"""A letter right behind the first, `A. B.` or `(A) or (B)`, or one that begins a line."""
JOINED = re.compile(rf"(?:\b(?:or|and)\s+|,\s*){LETTER}[.):\]]", re.IGNORECASE)
"""`A: no, B: yes`. A letter without a mark may be the text of an option, which 16 tokens cut: `B. Vitamins A, C`."""
DENIED = re.compile(r"\s*(?:isn.?t|is\s+(?:not|(?:the\s+|an?\s+)?(?:incorrect|wrong|false)))\b", re.IGNORECASE)
"""What follows a letter that the reply says is wrong."""


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
            raise Unproved(f"its reply of at most {GREEDY.max_tokens} tokens to a question is empty, or thinking alone")
        self.repeats = first == second
        letter = read_letter(first, ("A", "B"))
        return {
            "reply": first[:KEPT],
            "letter": None if isinstance(letter, str) else "AB"[letter],
            "repeats": self.repeats,
        }

    def choices(self, requests: Sequence[Choices]) -> Iterator[tuple[int, ReadChoice | Unanswered]]:
        """Yield the option whose letter each reply gives."""
        refuse_words(self.setting, requests, GIVES)
        yield from self.setting.each(requests, self._read)

    def passages(self, requests: Sequence[Passage]) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Refuse: a reply says nothing of a text's likelihood."""
        raise EngineError(
            f"{self.setting.base}: this server gives no log-likelihood of a text (perplexity, bits per byte)"
        )

    def _read(self, request: Choices) -> ReadChoice:
        reply = self._ask(request.context, request.system if request.chat else None)
        letter = read_letter(reply, [option.strip() for option in request.options])
        if isinstance(letter, str):
            return ReadChoice(None, reply[:KEPT], letter)
        return ReadChoice(letter, reply[:KEPT])

    def _ask(self, question: str, system: str | None = None) -> str:
        prompt = Prompt(f"{INSTRUCTION}\n\n{question}", chat=True, system=system)
        return after_thinking(Writing(self.setting).reply(prompt, GREEDY).text)


def read_letter(reply: str, letters: Sequence[str]) -> int | str:
    """Return the index of the letter that a reply gives, or why it gives none.

    Read are a letter of the options alone or at the beginning, closed by `.`, `)`, `:`, `]` or the end of its line, and
    "the (correct) answer is B", closed likewise; with any markdown and brackets. Nothing is read if the letter is
    denied at once ("A. is incorrect"), or if another is given too: right behind it, closed at the start of a line or
    after "or", "and" or a comma, or as the answer. Any other letter may belong to an option's text: "B. Vitamin C".

    >>> read_letter("**B.** A person", "AB"), read_letter("The answer is (B)", "AB"), read_letter("A person", "AB")
    (1, 1, 'the reply gives no letter of the options')
    """
    text = reply.translate(dict.fromkeys(map(ord, MARKS))).strip()
    if not text:
        return "the reply is empty"
    found = BARE.match(text) or SENTENCE.match(text)
    if found is None or found[1] not in letters:
        return "the reply gives no letter of the options"
    rest = text[found.end() :]
    if DENIED.match(rest):
        return "the reply says that its letter is wrong"
    others = {*NEXT.findall(rest), *JOINED.findall(rest), *SENTENCE.findall(rest)}
    if (others & set(letters)) - {found[1]}:
        return "the reply gives several letters of the options"
    return list(letters).index(found[1])
