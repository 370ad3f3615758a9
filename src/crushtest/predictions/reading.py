"""Predictions as they are read: one JSON object a line, and what is wrong with the others."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crushtest.errors import DataError

SHOWN = 5


class NotParsed(ValueError):
    """A line that is no prediction; the message says why."""


SAID = {"not_parsed": "lines that do not parse", "unknown": "unknown items", "duplicate": "duplicates"}


@dataclass
class Problems:
    """Lines that cannot be scored, counted and named: the number of the line, the item, or both.

    example  what a line looks like, with an item that the task has
    """

    not_parsed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    example: str = ""

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {kind: len(getattr(self, kind)) for kind in SAID}

    def __str__(self) -> str:
        found = {kind: getattr(self, kind) for kind in SAID}
        return "; ".join(f"{len(named)} {SAID[kind]}: {_shown(named)}" for kind, named in found.items() if named)


@dataclass(frozen=True)
class Missing:
    """Items without a line, by their ids, among all `of` items that the file is about."""

    items: tuple[str, ...] = ()
    of: int = 0

    def to_json(self) -> dict[str, Any] | None:
        """How many of how many, and the first of them; None where every item has a line."""
        if not self.items:
            return None
        return {"count": len(self.items), "of": self.of, "first": list(self.items[:SHOWN])}

    def __str__(self) -> str:
        if not self.items:
            return ""
        return f"{len(self.items)} of {self.of} items have no line: {_shown([repr(item) for item in self.items])}"


def refuse(name: str, path: Path, problems: Problems, *, nothing: bool, allow_partial: bool, lacking: str = "") -> None:
    """Raise DataError where a file has a line that cannot be scored or lacks items, unless that is allowed.

    nothing  no line can be scored: never allowed
    lacking  what to say of items without a line, where the task's numbers need all of them
    """
    found = "; ".join(filter(None, [str(problems), lacking]))
    form = f"; a line looks like {problems.example}" if nothing or problems.not_parsed or problems.unknown else ""
    if nothing:
        raise DataError(f"{name} {str(path)!r}: no line that can be scored{f' ({found})' if found else ''}{form}")
    if found and not allow_partial:
        raise DataError(f"{name} {str(path)!r}: {found} (--allow-partial scores the others){form}")


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that holds a JSON object; the others are added to `problems`.

    Raises DataError where the file cannot be read as text. A name that ends in `.gz` is decompressed.
    """
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            problems.not_parsed.append(f"line {number} ({error.msg})")
            continue
        if isinstance(found, dict):
            yield number, found
        else:
            problems.not_parsed.append(f"line {number} (not an object)")


def numbers(value: object, size: int, *, name: str) -> tuple[float, ...] | None:
    """A list of `size` finite numbers, or None for null. Raises NotParsed."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != size:
        raise NotParsed(f"{name} must be {size} numbers or null")
    if any(isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one) for one in value):
        raise NotParsed(f"{name} must be finite numbers")
    return tuple(float(one) for one in value)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"predictions {str(path)!r} cannot be read: {reason}") from None


def _shown(named: list[str]) -> str:
    return ", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
