"""What a model thinks aloud before it answers: `<think>...</think>`, which is no part of the answer."""

from __future__ import annotations

import re

from crushtest.records import Completion

OPENING, CLOSING = "<think>", "</think>"
_PART = re.compile(rf"\s*(?:{OPENING}.*?{CLOSING}\s*)+|(?:(?!{OPENING}).)*?{CLOSING}\s*", re.DOTALL)
_UNENDED = re.compile(rf"\s*{OPENING}")

CUT = "cut by the token limit while thinking"
"""Why a completion that ended before its answer began has no score, and counts in no measure of its text."""


def has_thinking(text: str) -> bool:
    """Return True if a completion begins with a thinking part, finished or not.

    A template may write the opening tag itself, so the closing tag alone also counts.
    """
    return bool(_PART.match(text) or _UNENDED.match(text))


def after_thinking(text: str) -> str:
    """Return a completion without the thinking that it begins with; nothing if that does not end.

    >>> after_thinking("<think>2 + 2?</think>Four."), after_thinking("2 + 2?</think>Four."), after_thinking("Four.")
    ('Four.', 'Four.', 'Four.')
    >>> after_thinking("<think>Let me think about what they"), after_thinking("The tag <think> is not HTML.")
    ('', 'The tag <think> is not HTML.')
    """
    part = _PART.match(text)
    rest = text[part.end() :] if part else text
    return "" if _UNENDED.match(rest) else rest


def thinking_of(text: str) -> str:
    """Return the thinking that a completion begins with, without its tags; empty without any.

    >>> thinking_of("<think>2 + 2?</think>Four."), thinking_of("<think>Let me"), thinking_of("Four.")
    ('2 + 2?', 'Let me', '')
    """
    if not has_thinking(text):
        return ""
    answer = after_thinking(text)
    return text[: len(text) - len(answer)].replace(OPENING, "").replace(CLOSING, "").strip()


def is_cut_short(completion: Completion) -> bool:
    """Return True if the token limit ended a completion before its answer began: nobody knows what that would be."""
    return completion.stop == "length" and has_thinking(completion.text) and not after_thinking(completion.text)
