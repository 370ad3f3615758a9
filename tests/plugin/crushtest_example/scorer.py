"""How much of a completion is shouted."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.records import Exchange, Score
from crushtest.registry import scorer


@scorer("shouting", source="written for this example", measures="share of a completion's letters in upper case")
def shouting(exchanges: Sequence[Exchange], *, least_letters: int = 1) -> list[Score]:
    """Share of upper-case letters, from 0 (none) to 1 (all); unscored with fewer than `least_letters` letters."""
    return [_score(exchange.completion, least_letters) for exchange in exchanges]


def _score(text: str, least_letters: int) -> Score:
    letters = [character for character in text if character.isalpha()]
    if not letters or len(letters) < least_letters:
        return Score(None, "too few letters")
    return Score(sum(map(str.isupper, letters)) / len(letters))
