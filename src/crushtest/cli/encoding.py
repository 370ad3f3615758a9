"""Print on any terminal or pipe: signs that its encoding lacks are written in ASCII, and its reader may leave."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

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


PIPE_EXIT_CODE = 141
"""What a shell reports of a program whose reader left: 128 and SIGPIPE's number."""


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """End the program without a word where nobody reads its output any more (`crushtest list tasks | head -1`)."""
    before = sys.stdout
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # what is left would fail when the interpreter ends, with a traceback
            if sys.stdout is not before:  # click puts a silent stream there, and exits with 1
                raise BrokenPipeError
    except (BrokenPipeError, SystemExit) as left:
        # rich ends the program itself, with exit code 1, where the help's reader left
        if isinstance(left, SystemExit) and not isinstance(left.__context__, BrokenPipeError):
            raise
        _drop_output(before)
        sys.exit(PIPE_EXIT_CODE)


def _drop_output(*streams: TextIO) -> None:
    """Let what is still in the buffers of stdout and stderr go nowhere when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (*streams, sys.stderr):
        with suppress(OSError, ValueError):  # it has no descriptor
            os.dup2(nowhere, stream.fileno())


def write_anything() -> None:
    """Let stdout and stderr take any text."""
    codecs.register_error("crushtest.in_ascii", in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a test or a notebook puts in their place
            stream.reconfigure(errors="crushtest.in_ascii")
