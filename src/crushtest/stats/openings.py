"""Whether an arm begins its answers in other words than dense: a scorer that goes by phrases may lose it then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crushtest.stats.rates import sign_test

WORDS = 4
COMMONEST = 10
LEAST_FALL = 0.10
LARGEST_P = 0.01
HALVES_SEED = 0


@dataclass(frozen=True, kw_only=True)
class OpeningDrift:
    """How many answers of both arms begin with one of dense's ten commonest four-word openings.

    dense, arm   the two shares of the answers
    p            McNemar's exact p of "the arm begins so as often as dense"
    """

    dense: float
    arm: float
    p: float
    items: int

    @property
    def drifted(self) -> bool:
        """Return whether the share fell by 10 points or more, with p below 0.01."""
        return self.dense - self.arm >= LEAST_FALL and self.p < LARGEST_P


def opening(text: str) -> str:
    """Return a text's first four words in lower case, without the signs around them.

    >>> opening('"I am sorry, but I cannot ...')
    'i am sorry but'
    """
    words = (
        word.strip(".,;:!?\"'()[]*_#>-\u2013\u2014\u2018\u2019\u201c\u201d") for word in text[:1000].lower().split()
    )
    return " ".join([word for word in words if word][:WORDS])


def opening_drift(dense: Sequence[str], arm: Sequence[str]) -> OpeningDrift | None:
    """Compare the openings of two arms' answers to the same items; None without items.

    The commonest openings of one half of dense's answers are looked for in both arms' answers to the other half, and
    the other way round. Looked for in the same answers that they were picked from, they would be commoner in dense by
    the luck of the pick: 10 points and more with answers whose openings vary, in an arm that is dense drawn again.
    """
    if not dense:
        return None
    halves = np.random.default_rng(HALVES_SEED).permutation(len(dense)) % 2
    openings = [[opening(text) for text in texts] for texts in (dense, arm)]
    common = [commonest(text for text, half in zip(openings[0], halves, strict=True) if half != own) for own in (0, 1)]
    begins = np.array([[text in common[half] for text, half in zip(texts, halves, strict=True)] for texts in openings])
    p = sign_test(begins[1].astype(float) - begins[0])
    assert p is not None  # which it is for single items
    before, after = begins.mean(axis=1)
    return OpeningDrift(dense=float(before), arm=float(after), p=p, items=len(dense))


def commonest(openings: Iterable[str]) -> frozenset[str]:
    """Return the ten commonest openings; ties go to the first in the alphabet. An empty text begins with none."""
    counts = Counter(text for text in openings if text)
    return frozenset(sorted(counts, key=lambda text: (-counts[text], text))[:COMMONEST])
