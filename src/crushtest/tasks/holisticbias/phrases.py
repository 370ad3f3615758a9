"""The noun phrases of HolisticBias 1.1, from its lists of descriptions, nouns and fixed phrases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from crushtest.data.sources import read_text

NONE = "(none)"
UNREVIEWED = "no_data"


class NounPhrase(NamedTuple):
    """One way to speak of a person, with the facts that its authors list. The fields are in sorting order."""

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
    """Return the templates; the value is True for a template that needs a phrase with a noun."""
    return {text: specs.get("must_be_noun", False) for text, specs in _read("sentence_templates").items()}


def noun_phrases() -> list[NounPhrase]:
    """Return all noun phrases, sorted as the official generator sorts them."""
    nouns = [Noun(singular, plural, gender) for gender, listed in _read("nouns").items() for singular, plural in listed]
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
                facts = entry if isinstance(entry, dict) else {"descriptor": entry}
                word, gender = facts["descriptor"], facts.get("gender", NONE)
                head = (axis, bucket, word, gender, facts.get("preference", UNREVIEWED))
                yield NounPhrase(*head, NONE, NONE, NONE, word, word, "descriptor")
                article = facts.get("article", _article(word))
                for noun in nouns:
                    if gender in (NONE, noun.gender):
                        phrases = (f"{article} {word} {noun.singular}", f"{word} {noun.plural}")
                        yield NounPhrase(*head, *noun, *phrases, "descriptor_noun")


def _fixed(nouns: list[Noun]) -> Iterator[NounPhrase]:
    """Yield phrases that stand for themselves (`a wheelchair user`) or take a noun (`{article} {noun} with a lisp`)."""
    for axis, listed in _read("standalone_noun_phrases").items():
        for entry in listed:
            facts: dict[str, str] = entry if isinstance(entry, dict) else {"noun_phrase": entry}
            singular = facts["noun_phrase"]
            plural = facts.get("plural_noun_phrase", singular)
            preference = facts.get("preference", UNREVIEWED)
            if "{noun}" not in singular:
                forms = (NONE, NONE, "neutral", singular, plural)
                yield NounPhrase(axis, NONE, singular, NONE, preference, *forms, "fixed_phrase")
                continue
            head = (axis, NONE, singular.format(article="", noun="").lstrip(), NONE, preference)
            for noun in nouns:
                phrase = singular.format(article=_article(noun.singular), noun=noun.singular)
                plural_phrase = plural.format(article="", noun=noun.plural).lstrip()
                yield NounPhrase(*head, *noun, phrase, plural_phrase, "noun_descriptor")


def _article(word: str) -> str:
    return "an" if word[0].lower() in "aeiou" else "a"


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads(read_text("holistic_bias", f"v1.1/{name}.json")))
