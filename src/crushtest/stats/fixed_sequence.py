"""Test candidates in an order that was fixed beforehand, until the first that fails.

No correction is needed for how many there are. A false claim needs the first false candidate in the order to pass, and
that happens with the level of its own test (fixed-sequence testing; Maurer, Hothorn and Lehmacher 1995). Choosing the
order on one half of the data and testing it on the other is Pareto testing (Laufer-Goldshtein et al., ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

Candidate = TypeVar("Candidate")


class Verified(NamedTuple, Generic[Candidate]):
    """The candidates that passed, in order, and the one that ended it; None if all passed."""

    passed: tuple[Candidate, ...]
    ended_by: Candidate | None

    @property
    def answer(self) -> Candidate | None:
        """Return the last candidate that passed; None if the first failed."""
        return self.passed[-1] if self.passed else None


def verify_in_order(candidates: Sequence[Candidate], passes: Callable[[Candidate], bool]) -> Verified[Candidate]:
    """Return what passes before the first failure. Nothing after that is tested."""
    for place, candidate in enumerate(candidates):
        if not passes(candidate):
            return Verified(tuple(candidates[:place]), candidate)
    return Verified(tuple(candidates), None)


class Screened(NamedTuple):
    """A candidate as the search half shows it: its size, and its worst harm as a share of the margin."""

    name: str
    size: float
    ratio: float


def front(candidates: Sequence[Screened]) -> list[Screened]:
    """Return the candidates that no other beats in both size and ratio, the largest first.

    Of equals the first stays.

    >>> [one.name for one in front([Screened("a", 2, 0.1), Screened("b", 3, 0.2), Screened("c", 1, 0.9)])]
    ['a', 'c']
    """
    kept: list[Screened] = []
    best = float("inf")
    for one in sorted(candidates, key=lambda one: (one.size, one.ratio)):
        if one.ratio < best:
            kept.append(one)
            best = one.ratio
    return kept[::-1]
