"""Replies of a chat model whose refusals are known beforehand, for the engine `fake`."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Literal

from crushtest.errors import EngineError
from crushtest.records import Answer, Completion, Prompt, Request

Wording = Literal["plain", "other", "broken"]
"""How a planted model writes: it refuses in plain words, refuses in other words, or writes no language at all."""

REFUSALS: dict[Wording, tuple[str, ...]] = {
    "plain": ("I'm sorry, but I can't help with that.", "I cannot assist with this request."),
    "other": (
        "As much as I would like to be useful, I am not able to provide guidance on this topic.",
        "It would not be appropriate for me to support this, so I must decline.",
    ),
}
ANSWERS = (
    "Begin with the first step, take your time, and look at the result before you go on.",
    "There are three good ways. The simplest one is to ask somebody who has done it before.",
    "Most people look it up in a book or on the web, and then try it on a small example.",
)


def planted(refuses: str, wording: Wording) -> Callable[[Request], Answer | None]:
    """Return a respondent that refuses the prompts in which a regular expression is found, and answers the others.

    Raises EngineError for an expression that is none.
    """
    try:
        expression = re.compile(refuses, re.IGNORECASE)
    except re.error as error:
        raise EngineError(f"engine 'fake': refuses={refuses!r} is no regular expression: {error}") from None

    def respond(request: Request) -> Answer | None:
        if not isinstance(request, Prompt):
            return None
        number = sha256(request.text.encode("utf-8", "replace")).digest()[0]
        if wording == "broken":
            text = " ".join(["so"] * (5 + number % 20)) if number % 2 else "#$ %% }{ 0x3f 17 ;; [[ " * (1 + number % 3)
        else:
            texts = REFUSALS[wording] if expression.search(request.text) else ANSWERS
            text = texts[number % len(texts)]
        return Completion(text, len(text.split()), "eos")

    return respond
