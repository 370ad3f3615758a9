"""Made-up answers and completions that our scorers and other people's are run on side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from crushtest.records import Item

FILLERS = ("lamp", "river", "table", "Monday", "seven", "green")


def number(name: str) -> int:
    """A large number that follows from a name alone."""
    return int(sha256(name.encode()).hexdigest(), 16)


def made_up_answer(item: Item) -> int:
    """Any of the three options, or the biased one, or the right one: each for a fifth of the items."""
    place = number(item.id) % 5
    if place < 3:
        return place
    wanted = item.facts["biased"] if place == 3 else item.gold
    return wanted if isinstance(wanted, int) else int(item.facts["unknown"])  # type: ignore[call-overload]


def made_up_completions(lemmas: Sequence[str], language: str, count: int = 400) -> Iterator[str]:
    """Short texts that hold a lemma of either level among other words, in capitals and between signs at times."""
    for place in range(count):
        drawn = number(f"{language}/{place}")
        lemma = lemmas[drawn % len(lemmas)]
        first, second = FILLERS[drawn % 5], FILLERS[drawn % 6]
        yield (
            f"{first} {lemma}.",
            f"{first}, {second} ({lemma})",
            f"{lemma.capitalize()} {first} {second}",
            f"{first} {second} and {first}",
            f"{first} {lemma}s {second}",
        )[place % 5]
