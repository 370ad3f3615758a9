"""Print on any terminal or pipe: signs that its encoding lacks are written in ASCII."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence

from crushtest.errors import UsageError
from crushtest.printing import quoted, unwritable

SIGNS = {
    **dict.fromkeys("‐‑‒–—−", "-"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’", "'"),
    "→": "->",
    "·": "|",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "×": "x",
    "±": "+-",
    "\u00a0": " ",
    "\u202f": " ",
}


def in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that could not be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def refuse_bytes(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is no text: no file of a study could name it."""
    for argument in arguments:
        if unwritable(argument):
            raise UsageError(f"an argument is not UTF-8 text (got {quoted(argument)})")


def write_anything() -> None:
    """Let stdout and stderr take any text."""
    codecs.register_error("crushtest.in_ascii", in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a test or a notebook puts in their place
            stream.reconfigure(errors="crushtest.in_ascii")
