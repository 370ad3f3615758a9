"""Shares of one call of an engine: whole packs, so that what several workers compute adds up to what one would."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_FAILURES = 3
FEW = 16
"""The smallest share is a part of the call in this many."""


@dataclass
class Share:
    """Parts of a call (lists of indexes) that one worker takes.

    failures   how many workers in a row have died with it before they answered anything
    """

    parts: list[list[int]]
    failures: int = 0
    answered: set[int] = field(default_factory=set)

    @property
    def mine(self) -> list[int]:
        """What is to be answered still."""
        return [index for part in self.parts for index in part if index not in self.answered]

    def rest(self) -> Share:
        """Return what is left of it after its worker has died: if nothing, a call that only counts what was cut."""
        parts = [[index for index in part if index not in self.answered] for part in self.parts]
        return Share([part for part in parts if part] or [[]], 1 if self.answered else self.failures + 1)


class Shares:
    """What nobody has taken yet: shares become smaller, so that workers end together and one that joins has work."""

    def __init__(self, parts: Sequence[list[int]]) -> None:
        self._open = deque(parts)
        self._returned: list[Share] = []
        self._least = -(-len(parts) // FEW)

    def __bool__(self) -> bool:
        return bool(self._open or self._returned)

    def take(self, workers: int, *, shared: bool) -> Share:
        """Return the next share, a half of what one of so many workers would have; all if nobody can help."""
        if self._returned:
            return self._returned.pop(0)
        count = max(self._least, -(-len(self._open) // (2 * workers))) if shared else len(self._open)
        return Share([self._open.popleft() for _ in range(min(count, len(self._open)))])

    def give_back(self, share: Share) -> None:
        """Take back what a worker that died has left."""
        self._returned.append(share)
