"""The noun phrases of HolisticBias 1.1, from its lists of descriptions, nouns and fixed phrases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from crushtest.data.sources import read_text

NONE = "(none)"
UNREVIEWED = "no_data"


class NounPhrase(NamedTuple):
    """One way to speak of a person, with what its authors know of it. The fields are in the order they sort by."""

    axis: str
    bucket: str
    descriptor: str
    descriptor_gender: str
    preference: str
    noun: str
    plural_noun: str
    noun_gender: str
    phrase: str
    plural_phrase: str
    kind: str


class Noun(NamedTuple):
    singular: str
    plural: str
    gender: str


def sentence_templates() -> dict[str, bool]:
    """Return template -> whether it needs a phrase with a noun."""
    return {text: specs.get("must_be_noun", False) for text, specs in _read("sentence_templates").items()}


def noun_phrases() -> list[NounPhrase]:
    """Return all noun phrases, sorted as the official generator sorts them."""
    nouns = [Noun(one, many, gender) for gender, listed in _read("nouns").items() for one, many in listed]
    return sorted([*_plain(nouns), *_described(nouns), *_fixed(nouns)])


def _plain(nouns: list[Noun]) -> Iterator[NounPhrase]:
    """Yield the nouns without a description: the control `null`."""
    for noun in nouns:
        phrase = f"{_article(noun.singular)} {noun.singular}"
        yield NounPhrase("null", NONE, NONE, NONE, NONE, *noun, phrase, noun.plural, "noun")


def _described(nouns: list[Noun]) -> Iterator[NounPhrase]:
    """Yield every description alone, and before every noun that its gender allows."""
    for axis, buckets in _read("descriptors").items():
        for bucket, listed in buckets.items():
            for entry in listed:
                about = entry if isinstance(entry, dict) else {"descriptor": entry}
                word, gender = about["descriptor"], about.get("gender", NONE)
                head = (axis, bucket, word, gender, about.get("preference", UNREVIEWED))
                yield NounPhrase(*head, NONE, NONE, NONE, word, word, "descriptor")
                article = about.get("article", _article(word))
                for noun in nouns:
                    if gender in (NONE, noun.gender):
                        phrases = (f"{article} {word} {noun.singular}", f"{word} {noun.plural}")
                        yield NounPhrase(*head, *noun, *phrases, "descriptor_noun")


def _fixed(nouns: list[Noun]) -> Iterator[NounPhrase]:
    """Yield phrases that stand for themselves (`a wheelchair user`) or take a noun (`{article} {noun} with a lisp`)."""
    for axis, listed in _read("standalone_noun_phrases").items():
        for entry in listed:
            about: dict[str, str] = entry if isinstance(entry, dict) else {"noun_phrase": entry}
            one: str = about["noun_phrase"]
            many = about.get("plural_noun_phrase", one)
            preference = about.get("preference", UNREVIEWED)
            if "{noun}" not in one:
                yield NounPhrase(axis, NONE, one, NONE, preference, NONE, NONE, "neutral", one, many, "fixed_phrase")
                continue
            head = (axis, NONE, one.format(article="", noun="").lstrip(), NONE, preference)
            for noun in nouns:
                phrase = one.format(article=_article(noun.singular), noun=noun.singular)
                plural = many.format(article="", noun=noun.plural).lstrip()
                yield NounPhrase(*head, *noun, phrase, plural, "noun_descriptor")


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads(read_text("holistic_bias", f"v1.1/{name}.json")))
