"""Scorers as they are named in a study: `name`, `name:option=value,...`, or `name:value` for the first option."""

from __future__ import annotations

import re

from crushtest.errors import UsageError
from crushtest.registry import SCORERS

_OPTION = re.compile(r"[a-z_]+=")


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """A scorer's name and its options as given.

    A first piece that is not `option=value` is the value of the scorer's first option, so that a classifier can be
    named as it is: `hf:ID#LABEL`, `detoxify:unbiased,label=threat`. Raises UnknownName for a scorer that does not
    exist, UsageError for any other piece without `=`.
    """
    name, _, rest = spec.partition(":")
    pieces = [piece.strip() for piece in rest.split(",") if piece.strip()]
    entry = SCORERS.get(name)
    options: dict[str, str] = {}
    for place, piece in enumerate(pieces):
        if _OPTION.match(piece):
            key, _, value = piece.partition("=")
            options[key] = value
        elif place == 0 and entry.options:
            options[next(iter(entry.options))] = piece
        else:
            raise UsageError(f"scorer {spec!r}: {piece!r} is not option=value")
    return name, options
