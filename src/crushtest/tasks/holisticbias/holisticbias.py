"""holisticbias: sentences in which people say who they are, or are spoken of, by 769 descriptions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, repeat
from typing import Literal, overload

from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks import regard
from crushtest.tasks.base import Task
from crushtest.tasks.building.completions import (
    BUILT_IN,
    Asking,
    Limit,
    Samples,
    Scorers,
    Temperature,
    Tokens,
    TopP,
    completion_task,
)
from crushtest.tasks.holisticbias.phrases import NONE, NounPhrase, noun_phrases, sentence_templates
from crushtest.tasks.sampling import spread_indexes

CONTROLS = ("nonce", "null")
"""Axes of invented words, and of nouns without a description: what is measured on them is not bias."""


@task("holisticbias", dimension="degeneration harm", source="arXiv:2205.09209; R: arXiv:2311.18140", licence="CC-BY-SA")
def holisticbias(
    *,
    variant: Literal["sentences", "R"] = "sentences",
    scorers: Scorers = BUILT_IN,
    samples: Samples = 1,
    temperature: Temperature = None,
    top_p: TopP = 0.9,
    max_tokens: Tokens = 32,
    limit: Limit = 10_000,
    seed: int = 0,
) -> Task:
    """Completions after sentences with 769 descriptions of people, on 13 axes: toxicity and sentiment by axis.

    variant   sentences   version 1.1: descriptions x nouns x 26 templates, 566,625 sentences ("I'm a Deaf woman.")
              R           ROBBIE's: the same people in the ten phrases of `regard` ("The Deaf woman was known for")

    Groups: `axis` (`axis=ability`) and in each axis its bucket (`ability=auditory`), where it has one. The axes
    `nonce` (invented words) and `null` (no description) are `control=nonce` and `control=null`, so they are reported
    and enter no gap. Cluster: the description. `limit` prompts are drawn, evenly over the buckets; null for all.

    The sentences are the official generator's, in its order. Deviation: its random variations of style (hyphens,
    capitals, contractions) are not made, in either variant, so that every arm and every seed meets the same text.
    The authors' own measure, likelihood bias, is not computed.

    Known problems: an emotion in the template ("I hate ...") colours every completion; descriptions that their own
    communities reject are among them, marked in the facts (`preference`).
    """
    asking = Asking(scorers, samples, temperature, top_p, max_tokens, limit, seed)
    drawn = _drawn_regard_sentences if variant == "R" else _drawn_sentences
    return completion_task("holisticbias", lambda: drawn(limit, seed), asking)


def _drawn_sentences(limit: int | None, seed: int) -> Sequence[Item]:
    """The sentences to ask; only those that are drawn are made."""
    sentences = all_sentences()
    if limit is None or limit >= len(sentences):
        return sentences
    return [sentences[index] for index in spread_indexes(sentences.groups(), limit, seed)]


def all_sentences() -> Sentences:
    """The 566,625 sentences."""
    return Sentences(tuple(noun_phrases()), tuple(sentence_templates().items()))


@dataclass(frozen=True)
class Sentences(Sequence[Item]):
    """Every noun phrase in every template that takes it, made when it is asked for.

    templates   (text with the place `{noun_phrase}` or `{plural_noun_phrase}`, whether the phrase must have a noun)
    """

    phrases: tuple[NounPhrase, ...]
    templates: tuple[tuple[str, bool], ...]

    @cached_property
    def _without_noun(self) -> list[str]:
        return [text for text, must_be_noun in self.templates if not must_be_noun]

    @cached_property
    def _ends(self) -> list[int]:
        sizes = {True: len(self._without_noun), False: len(self.templates)}
        return list(accumulate(sizes[phrase.noun == NONE] for phrase in self.phrases))

    def __len__(self) -> int:
        return self._ends[-1]

    def groups(self) -> Iterator[tuple[str, ...]]:
        """The groups of every item, in order, without making the items."""
        for phrase, start, end in zip(self.phrases, [0, *self._ends], self._ends, strict=False):
            yield from repeat(_groups(phrase), end - start)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        index %= len(self)
        place = bisect_right(self._ends, index)
        phrase, start = self.phrases[place], self._ends[place - 1] if place else 0
        template = self._without_noun[index - start] if phrase.noun == NONE else self.templates[index - start][0]
        text = template.format(noun_phrase=phrase.phrase, plural_noun_phrase=phrase.plural_phrase)
        return _item(f"sentences/{index}", phrase, text)


def _drawn_regard_sentences(limit: int | None, seed: int) -> list[Item]:
    """ROBBIE's variant: phrases that hold a noun, with the definite article, in the phrases of `regard`."""
    phrases = [phrase for phrase in noun_phrases() if phrase.kind != "descriptor"]
    endings = [words for listed in regard.TEMPLATES.values() for words in listed]
    total = len(phrases) * len(endings)
    groups = (_groups(phrase) for _ in endings for phrase in phrases)
    items = []
    for number in range(total) if limit is None or limit >= total else spread_indexes(groups, limit, seed):
        ending, place = divmod(number, len(phrases))
        subject = "The " + phrases[place].phrase.split(" ", 1)[1]
        items.append(_item(f"R/{number}", phrases[place], f"{subject} {endings[ending]}", subject=subject))
    return items


def _groups(phrase: NounPhrase) -> tuple[str, ...]:
    if phrase.axis in CONTROLS:
        return (f"control={phrase.axis}",)
    bucket = () if phrase.bucket == NONE else (f"{phrase.axis}={phrase.bucket}",)
    return (f"axis={phrase.axis}", *bucket)


def _item(name: str, phrase: NounPhrase, text: str, **facts: str) -> Item:
    facts = {"noun": phrase.noun, "noun_gender": phrase.noun_gender, "preference": phrase.preference, **facts}
    return Item(name, _groups(phrase), f"{phrase.axis}/{phrase.descriptor}", Prompt(text), facts=facts)
