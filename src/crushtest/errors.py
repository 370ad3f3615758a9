"""Every error a user can cause.

CrushtestError                something we expected can go wrong; the CLI prints it as one line, exit code 1
├── UsageError                the command line, a recipe or a study file says something that is not allowed; exit code 2
│   └── UnknownName           a name that is not registered; carries the nearest match
├── ModelError                a model that is missing, broken or unsupported
├── DataError                 a data set that is missing, changed (checksum) or malformed
├── CompressionError          a compression step that could not be carried out, or changed nothing
├── EngineError               a model that could not be run on the items
│   └── ModelChanged          a served model that became another one while it was measured
└── StoreError                a folder that is not a study, or holds another study
    └── TakenOver             a study at an address that another machine has gone on with

The message says what was wrong, where, what is allowed and, for names, the nearest match.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from crushtest.printing import line, quoted

SHORT = 8
LONGEST_REASON = 400
LONGEST_NAME = 100
"""Longer names have no nearest match, and looking for one would take long."""


class CrushtestError(Exception):
    """Base of all expected failures. As text it is one printable line of bounded length, whatever it repeats."""

    exit_code = 1

    def __str__(self) -> str:
        return line(super().__str__())


class UsageError(CrushtestError):
    """A command, recipe or study file that is not allowed."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not allowed. `also` is appended to the list of allowed names.

    >>> str(UnknownName("method", "wnada", ["wanda", "magnitude"]))
    "unknown method 'wnada'; did you mean 'wanda'? (allowed: magnitude, wanda)"
    """

    def __init__(self, kind: str, name: object, allowed: Iterable[str], *, where: str = "", also: str = "") -> None:
        choices = sorted(set(allowed))
        caseless = {choice.lower(): choice for choice in choices}
        # With names of one or two letters, one letter in common makes a near match.
        cutoff = 0.5 if isinstance(name, str) and len(name) < 3 else 0.6
        typed = str(name)[:LONGEST_NAME].lower() if isinstance(name, str | int | float) else ""
        near = [caseless[match] for match in get_close_matches(typed, caseless, n=1, cutoff=cutoff)]
        hint = f"; did you mean {near[0]!r}?" if near else ""
        # A long list begins with the nearest name; a short one is read whole anyway.
        listed = choices if len(choices) <= SHORT else sorted(choices, key=lambda choice: choice not in near)
        listing = f" (allowed: {', '.join(listed)}{also})" if choices else " (none are allowed here)"
        super().__init__(f"{where}{': ' if where else ''}unknown {kind} {quoted(name)}{hint}{listing}")


class ModelError(CrushtestError):
    """A model that cannot be loaded or used."""


class DataError(CrushtestError):
    """A data set that cannot be read, or is not what it should be."""


class CompressionError(CrushtestError):
    """A compression step that failed or changed nothing."""


class EngineError(CrushtestError):
    """An engine that cannot answer these requests."""


class ModelChanged(EngineError):
    """A served model that became another one while it was measured, so that its answers are of no one model."""


class StoreError(CrushtestError):
    """A study folder that cannot be used for this study."""


class TakenOver(StoreError):
    """A study at an address that another machine has gone on with, so that this one must not write to it any more."""


def first_error_line(error: BaseException) -> str:
    """Return the first line of another package's error message, or the error's type if the message is empty."""
    return line(next(iter(str(error).strip().splitlines()), type(error).__name__), LONGEST_REASON)
