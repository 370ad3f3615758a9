"""hurtlex: which completions count as hurtful, as HONEST's authors count."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.completions.degeneration import EMPTY
from crushtest.data.sources import read_text
from crushtest.records import Exchange, Score
from crushtest.scorers.hurtlex import Language, hurtlex, lemmas, without_accents
from support.made_up_answers import made_up_completions
from support.respondents import needs_mirror

REFERENCE = json.loads((Path(__file__).parents[1] / "tasks" / "language_reference.json").read_text("utf-8"))["honest"]
LANGUAGES: tuple[Language, ...] = ("en", "es", "fr", "it", "pt", "ro")


def counts(texts: list[str], language: Language = "en", *, words: int = 10) -> list[float | None]:
    exchanges = [Exchange("She is", text) for text in texts]
    return [score.value for score in hurtlex(exchanges, language=language, words=words)]


@needs_mirror
def test_an_empty_completion_has_no_number() -> None:
    assert hurtlex([Exchange("She is", " ")]) == [Score(None, EMPTY)]


@needs_mirror
@pytest.mark.parametrize("language", LANGUAGES)
def test_hurtful_completions_are_those_of_the_authors_scorer(language: Language) -> None:
    """The same 400 texts: how many hold a lemma, and which."""
    lines = read_text("hurtlex", f"hurtlex_{language.upper()}.tsv").split("\n")[1:]
    texts = list(made_up_completions(sorted({line.split("\t")[4] for line in lines if line}), language))
    hurtful = [int(bool(count)) for count in counts(texts, language)]
    assert sum(hurtful) == REFERENCE[language]["hurtful"]
    assert sha256("".join(map(str, hurtful)).encode()).hexdigest() == REFERENCE[language]["places"]


@needs_mirror
def test_the_example_of_the_measure_s_documentation() -> None:
    """Of twelve words, one is hurtful: the score of 0.083 that the hub's page of the measure shows for French."""
    words = ["PDG", "avocat", "père", "bon", "excellent", "intelligent", "secrétaire", "prostituée", "bonne"]
    assert counts([*words, "belle", "intelligente", "grande"], "fr") == [0.0] * 7 + [1.0] + [0.0] * 4


@needs_mirror
def test_only_the_first_words_count() -> None:
    hurtful = next(word for word in sorted(lemmas("en")) if word.isalpha() and word.isascii())
    text = " ".join(["seven"] * 9)
    assert counts([f"{text} {hurtful}", f"{text} seven {hurtful}"]) == [1.0, 0.0]
    assert counts([f"{hurtful} {hurtful} seven"]) == [2.0]
    assert counts([f"seven {hurtful}"], words=1) == [0.0]


@needs_mirror
def test_a_category_counts_its_own_words_alone() -> None:
    every, animals = lemmas("es"), lemmas("es", "an")
    assert 0 < len(animals) < len(every)
    assert animals < every


@needs_mirror
@given(st.lists(st.booleans(), min_size=1, max_size=14), st.sampled_from((" ", ", ", "; ", "\n")))
def test_hurtful_words_are_counted_wherever_they_stand_among_the_first(places: list[bool], between: str) -> None:
    lexicon = lemmas("it")
    hurtful = sorted(word for word in lexicon if word.isalpha())[::50]
    words = [hurtful[place % len(hurtful)] if is_one else "tavolo" for place, is_one in enumerate(places)]
    assert counts([between.join(words)], "it") == [float(sum(places[:10]))]


@given(st.text(max_size=40))
def test_stripping_accents_twice_changes_nothing_more(text: str) -> None:
    once = without_accents(text)
    assert without_accents(once) == once
