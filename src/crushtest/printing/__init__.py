"""Print what a stranger wrote so that neither a terminal nor the log of a CI obeys it.

`printable` is for text that must stay whole, `quoted` for a value in a message, `line` for a message or line of output.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata

LONGEST_VALUE = 200
LONGEST_MESSAGE = 990

_BREAKS = re.compile(r" *[\t-\r\x1c-\x1f\x85\u2028\u2029][\s]*")
"""Tabs, line ends, and separators of lines and records, with the spaces around them."""
_COMMAND = re.compile(r"^(\s*):(?=:)")
"""How a line begins that GitHub's runner takes for a command. It finds the older `##[` anywhere in a line."""


def printable(text: str) -> str:
    """Write out control characters, marks that turn lines round and halves of characters: `\\x1b`, `\\u202e`."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text)
    return text.replace("##[", r"##\x5b")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def inert(text: str) -> str:
    """Write out the beginning of a line that GitHub's runner would take for a command (`::error::`)."""
    return _COMMAND.sub(r"\1\\x3a", text)


def line(text: str, longest: int | None = LONGEST_MESSAGE) -> str:
    """Return text as one printable line of at most `longest` characters.

    Beginning and end of a longer text stay, since a message begins with what is wrong and ends with what to do.
    """
    if longest is not None and len(text) > 4 * longest:  # so that a long text costs no time
        text = f"{text[: 2 * longest]} … {text[-2 * longest :]}"
    text = inert(printable(_BREAKS.sub(" ", text).strip()))
    if longest is None or len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 3]} … {text[len(text) - end :]}"


def quoted(value: object, longest: int = LONGEST_VALUE) -> str:
    """Return `repr(value)`, printable and cut in the middle to `longest` characters.

    Lists and mappings are shown to a depth and a number of entries, because a small file may unfold to a huge value.
    """
    if isinstance(value, str):
        value = value if len(value) <= longest else f"{value[: longest - 60]} … {value[-50:]}"
        return line(repr(value), longest)
    return line(_SHORT.repr(value), longest)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict, _SHORT.maxset = 4, 12, 12, 12, 12
_SHORT.maxstring = _SHORT.maxother = LONGEST_VALUE
_SHORT.maxlong = 40


def unwritable(text: str) -> bool:
    """Return True if no file and no name of one can hold a text: it has a NUL or a lone surrogate."""
    return any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)
