"""What each language costs a model on the same texts: bits per byte, per character and per text, against one of them.

Each item is one text in several languages, whose translations are the options of one request. Languages need other
numbers of bytes and characters for the same content, so there is no one denominator: bits per byte favour scripts of
many bytes per character, bits per character scripts of many characters per word. Bits of the whole text divide by the
content, which translations share. Arms compare in any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from crushtest.metrics import Array, Metric, ratio
from crushtest.records import Choices, ChoiceScores, Item

NO_TEXT = "no text here in the two languages"


def parallel_metrics(languages: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics of all languages against the first.

    bits_per_byte_<language>, bits_per_character_<language>
        bits that the model needs, over all texts together
    language_gap_bits_<language>, language_ratio_<language>
        bits per byte minus those of the first language, and divided by them; 0 and 1: no difference
    language_text_ratio_<language>
        bits for all texts divided by the bits for the same texts in the first language; 1: equal
    """
    others = range(1, len(languages))
    return (
        *(_gap(languages, place) for place in others),
        *(_ratio(languages, place) for place in others),
        *(_text_ratio(languages, place) for place in others),
        *(_bits_per(languages, place, "byte", 1) for place in range(len(languages))),
        *(_bits_per(languages, place, "character", 2) for place in range(len(languages))),
    )


def _sums(place: int) -> Callable[[Item, ChoiceScores, float | None], tuple[float, ...]]:
    """Return a measure of nats, bytes and characters in one language, then in the first."""

    def of_language(item: Item, answer: ChoiceScores, language: int) -> tuple[float, ...]:
        assert isinstance(item.request, Choices)
        characters = len(item.request.options[language])
        return (-answer.logprobs[language], float(answer.bytes[language]), float(characters))

    return lambda item, answer, score: (*of_language(item, answer, place), *of_language(item, answer, 0))


COLUMNS = ("nats", "bytes", "characters", "first_nats", "first_bytes", "first_characters")


def _metric(name: str, place: int, formula: Callable[..., Array], **settings: Any) -> Metric:
    return Metric(
        name,
        COLUMNS,
        _sums(place),
        formula,
        "lower",
        **({"flip_key": None, "undefined_reason": NO_TEXT} | settings),
    )


def _gap(languages: Sequence[str], place: int) -> Metric:
    language, first = languages[place], languages[0]
    return _metric(
        f"language_gap_bits_{language}",
        place,
        lambda nats, size, characters, first_nats, first_size, _: (
            (ratio(nats, size) - ratio(first_nats, first_size)) / math.log(2)
        ),
        unit="bits",
        role="gap",
        ratio_metric=f"language_ratio_{language}",
        label=f"language gap, {language}",
        meaning=f"Bits per byte of the texts in {language} minus those of the same texts in {first}; 0: no difference.",
    )


def _ratio(languages: Sequence[str], place: int) -> Metric:
    language, first = languages[place], languages[0]
    return _metric(
        f"language_ratio_{language}",
        place,
        lambda nats, size, characters, first_nats, first_size, _: ratio(
            ratio(nats, size), ratio(first_nats, first_size)
        ),
        unit="ratio",
        role="gap",
        label=f"language ratio, {language}",
        meaning=f"Bits per byte of the texts in {language} divided by those of the same texts in {first}; 1: equal.",
    )


def _text_ratio(languages: Sequence[str], place: int) -> Metric:
    language, first = languages[place], languages[0]
    return _metric(
        f"language_text_ratio_{language}",
        place,
        lambda nats, size, characters, first_nats, *_: ratio(nats, first_nats),
        unit="ratio",
        role="gap",
        label=f"cost of the same text, {language}",
        meaning=f"Bits for the texts in {language} divided by the bits for the same texts in {first}; 1: equal.",
    )


def _bits_per(languages: Sequence[str], place: int, unit: str, column: int) -> Metric:
    language = languages[place]
    return _metric(
        f"bits_per_{unit}_{language}",
        place,
        lambda *totals: ratio(totals[0], totals[column]) / math.log(2),
        unit="bits",
        label=f"bits per {unit}, {language}",
        meaning=f"Bits the model needs for a {unit} of text.",
        side=language if unit == "byte" else None,
    )
