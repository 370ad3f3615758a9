"""Which of some attributes a text names.

SeeGULL's attributes are lemmas ("malnourish", "drug dealer"). A text names one if it holds its words in a row, each as
it is listed or with an ending of English inflection. Nothing is understood: "not lazy" names `lazy`, and "a kind of"
names `kind`.
"""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
ENDINGS = ("s", "es", "d", "ed", "ing")
VOWELS = "aeiou"
SHORTEST = 3
"""Letters of the shortest word that takes endings."""


@lru_cache(maxsize=4096)
def named(text: str, attributes: tuple[str, ...]) -> frozenset[str]:
    """Return the attributes that a text names.

    >>> sorted(named("They're malnourished drug dealers.", ("malnourish", "drug dealer", "drug", "poor")))
    ['drug', 'drug dealer', 'malnourish']
    """
    words = WORD.findall(text.casefold())
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        for lemma in lemmas(word):
            places.setdefault(lemma, []).append(place)
    return frozenset(attribute for attribute in attributes if _follow_each_other(attribute.split(), places))


def _follow_each_other(parts: list[str], places: dict[str, list[int]]) -> bool:
    at = set(places.get(parts[0], ()))
    for part in parts[1:]:
        at = {place + 1 for place in at} & set(places.get(part, ()))
    return bool(at)


@lru_cache(maxsize=65536)
def lemmas(word: str) -> frozenset[str]:
    """Return all words of which a word may be an inflected form, itself among them. Most of them are no words.

    >>> sorted(lemmas("swimming"))
    ['swim', 'swimm', 'swimme', 'swimming']
    """
    stems = {word}
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < SHORTEST:
            continue
        stems.add(stem)
        if ending == "ing":
            stems.add(f"{stem}e")
        if ending in ("es", "ed") and stem.endswith("i"):
            stems.add(f"{stem[:-1]}y")
        if ending in ("ed", "ing") and stem[-1] == stem[-2] and stem[-1] not in VOWELS:
            stems.add(stem[:-1])
    return frozenset(stems)
