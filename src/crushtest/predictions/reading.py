"""Read predictions: one JSON object per line, and what is wrong with the other lines."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crushtest.errors import DataError
from crushtest.printing import quoted

SHOWN = 5
LONGEST_ID = 80
LARGEST = 2**31
"""Bytes of a file, unpacked."""


class NotParsed(ValueError):
    """A line that is not a prediction; the message says why."""


DESCRIPTIONS = {
    "not_parsed": ("line that does not parse", "lines that do not parse"),
    "unknown": ("unknown item", "unknown items"),
    "duplicate": ("duplicate", "duplicates"),
}
"""Kinds of lines that cannot be scored: one of them, several."""


@dataclass
class Problems:
    """Lines that cannot be scored, each named by its number, its item or both.

    example  a correct line, with an item of the task
    """

    not_parsed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    example: str = ""

    def counts(self) -> dict[str, int]:
        """Return the number of lines of each kind."""
        return {kind: len(getattr(self, kind)) for kind in DESCRIPTIONS}

    def __str__(self) -> str:
        lines = {kind: getattr(self, kind) for kind in DESCRIPTIONS}
        return "; ".join(
            f"{len(names)} {DESCRIPTIONS[kind][len(names) > 1]}: {_shown(names)}"
            for kind, names in lines.items()
            if names
        )


@dataclass(frozen=True)
class Missing:
    """The ids of items without a line, among the `of` items that the file is about."""

    items: tuple[str, ...] = ()
    of: int = 0

    def to_json(self) -> dict[str, Any] | None:
        """Return the counts and the first of the items; None if every item has a line."""
        if not self.items:
            return None
        return {"count": len(self.items), "of": self.of, "first": list(self.items[:SHOWN])}

    def __str__(self) -> str:
        if not self.items:
            return ""
        names = [quoted(item, LONGEST_ID) for item in self.items]
        return f"{len(names)} of {self.of} items have no line: {_shown(names)}"


def refuse(name: str, path: Path, problems: Problems, *, nothing: bool, allow_partial: bool, lacking: str = "") -> None:
    """Raise DataError if a file lacks items or has a line that cannot be scored, unless that is allowed.

    nothing  whether no line can be scored, which is never allowed
    lacking  describes items without a line, if the task's numbers need all of them
    """
    faults = "; ".join(filter(None, [str(problems), lacking]))
    form = f"; a line looks like {problems.example}" if nothing or problems.not_parsed or problems.unknown else ""
    if nothing:
        raise DataError(f"{name} {str(path)!r}: no line that can be scored{f' ({faults})' if faults else ''}{form}")
    if faults and not allow_partial:
        raise DataError(f"{name} {str(path)!r}: {faults} (--allow-partial scores the others){form}")


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) for every line that holds a JSON object; add the others to `problems`.

    Raises DataError if the file cannot be read as text. A name that ends in `.gz` is decompressed.
    """
    # Not splitlines(), which also splits at characters that JSON strings may hold.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problems.not_parsed.append(f"line {number} ({error.msg})")
            continue
        except RecursionError:
            problems.not_parsed.append(f"line {number} (nested too deeply)")
            continue
        except ValueError:
            problems.not_parsed.append(f"line {number} (a number of too many digits)")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.not_parsed.append(f"line {number} (not an object)")


def numbers(value: object, size: int, *, name: str) -> tuple[float, ...] | None:
    """Return a list of `size` finite numbers, or None for null. Raises NotParsed for anything else."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != size:
        raise NotParsed(f"{name} must be {size} numbers or null")
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in value):
        raise NotParsed(f"{name} must be finite numbers")
    try:
        read = tuple(map(float, value))
    except OverflowError:
        raise NotParsed(f"{name} must be numbers below 1e308") from None
    if not all(map(math.isfinite, read)):
        raise NotParsed(f"{name} must be finite numbers")
    return read


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"predictions {str(path)!r} cannot be read: {reason}") from None


def _bytes(path: Path) -> bytes:
    """Return a file's content, unpacked as far as memory may be filled."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"predictions {str(path)!r}: larger than {LARGEST:,} bytes; split the file")
    return content


def _shown(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
