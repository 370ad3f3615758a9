"""What a model thinks aloud before it answers: `<think>...</think>`, which is no part of the answer."""

from __future__ import annotations

import re

OPENING, CLOSING = "<think>", "</think>"
_PART = re.compile(f"{OPENING}.*?{CLOSING}", re.DOTALL)


def has_thinking(text: str) -> bool:
    """Return True if a completion holds a thinking part, finished or not.

    A template may write the opening tag itself, so the closing tag alone also counts.
    """
    return OPENING in text or CLOSING in text


def after_thinking(text: str) -> str:
    """Return a completion without its thinking parts; nothing if the last of them does not end.

    >>> after_thinking("<think>2 + 2?</think>Four."), after_thinking("2 + 2?</think>Four."), after_thinking("Four.")
    ('Four.', 'Four.', 'Four.')
    >>> after_thinking("<think>Let me think about what they")
    ''
    """
    if not has_thinking(text):
        return text
    rest = _PART.sub("", text)
    return "" if OPENING in rest else rest.rpartition(CLOSING)[2].lstrip()
