"""Which pairs of answers people should label: those on which a scorer's difference hangs, and some of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random

LEAST = 5
"""Pairs that are labelled at least of each stratum, or all that it holds."""


class Stratum(NamedTuple):
    """Pairs that are alike to the sampler: those that the same metrics apply to, with what the scorer says of both."""

    about: tuple[str, ...]
    dense: bool
    arm: bool

    @property
    def is_discordant(self) -> bool:
        return self.dense != self.arm


def draw_pairs(strata: Sequence[Stratum], pairs: int, random: Random) -> list[int]:
    """Return the positions of about `pairs` pairs to label, in random order; all if there are no more.

    Within a stratum every pair has the same chance. All discordant pairs are drawn up to half of `pairs`, because
    each of them counts in the scorer's difference. The rest is shared by the concordant strata in proportion to their
    sizes. No stratum has fewer than `LEAST`, so the number drawn may exceed `pairs` by a few.
    """
    members: dict[Stratum, list[int]] = {}
    for position, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(position)
    discordant, concordant = (
        {stratum: len(members[stratum]) for stratum in sorted(members, key=repr) if stratum.is_discordant is wanted}
        for wanted in (True, False)
    )
    sides = sum(discordant.values()), sum(concordant.values())
    first = min(sides[0], max(pairs // 2, pairs - sides[1]))
    shares = _shared(discordant, first) | _shared(concordant, pairs - first)
    drawn = [position for stratum, count in shares.items() for position in random.sample(members[stratum], count)]
    random.shuffle(drawn)
    return drawn


def _shared(sizes: dict[Stratum, int], count: int) -> dict[Stratum, int]:
    """Share a number among strata in proportion to their sizes, at least `LEAST` and at most all of each."""
    total = sum(sizes.values())
    exact = {stratum: min(size, count * size / total) for stratum, size in sizes.items()}
    return {stratum: min(size, max(LEAST, round(exact[stratum]))) for stratum, size in sizes.items()}
