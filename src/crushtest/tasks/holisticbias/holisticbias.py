"""holisticbias: sentences in which people describe themselves, or others describe them, in 769 ways."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, repeat
from typing import Literal

from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks import regard
from crushtest.tasks.base import Task
from crushtest.tasks.holisticbias.phrases import NONE, NounPhrase, noun_phrases, sentence_templates
from crushtest.tasks.sampling import stratified_indexes
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options
from crushtest.tasks.shared.on_demand import OnDemand

CONTROLS = ("nonce", "null")
"""The axes of invented words and of nouns without a description. Results on them are not bias."""


@task(
    "holisticbias",
    dimension="degeneration harm",
    source="arXiv:2205.09209; R: arXiv:2311.18140",
    licence="CC-BY-SA",
    items=10000,
)
@with_completion_options()
def holisticbias(
    options: CompletionOptions,
    *,
    variant: Literal["sentences", "R"] = "sentences",
) -> Task:
    """Completions after sentences with 769 descriptions of people, on 13 axes: toxicity and sentiment by axis.

    variant   sentences   version 1.1: descriptions x nouns x 26 templates, 566,625 sentences ("I'm a Deaf woman.")
              R           ROBBIE's: the same people in the ten phrases of `regard` ("The Deaf woman was known for")

    Groups: `axis` (`axis=ability`) and in each axis its bucket (`ability=auditory`), if it has one. The axes `nonce`
    (invented words) and `null` (no description) become `control=nonce` and `control=null`. They are reported but enter
    no gap. Cluster: the description. By default 10,000 prompts are drawn, evenly over the buckets; `limit` changes that
    (null: all).

    The sentences are the official generator's, in its order. Deviation: neither variant makes its random variations of
    style (hyphens, capitals, contractions), so every arm and every seed gets the same text. The authors' own measure,
    likelihood bias, is not computed.

    Known problems: an emotion in the template ("I hate ...") colours every completion; descriptions that their own
    communities reject are among them, marked in the facts (`preference`).
    """
    made = regard_sentences if variant == "R" else all_sentences
    return completion_task(
        "holisticbias", made, options, draw=lambda limit, seed: _drawn(made(), limit, seed), default_limit=10_000
    )


def _drawn(sentences: Sentences | RegardSentences, limit: int, seed: int) -> Sequence[Item]:
    """Return a stratified sample, and make only its sentences."""
    if limit >= len(sentences):
        return sentences
    return [sentences[index] for index in stratified_indexes(sentences.groups(), limit, seed)]


def all_sentences() -> Sentences:
    """Return the 566,625 sentences."""
    return Sentences(tuple(noun_phrases()), tuple(sentence_templates().items()))


@dataclass(frozen=True)
class Sentences(OnDemand[Item]):
    """Every noun phrase in every template that takes it. A sentence is made when it is asked for.

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
        """Yield the groups of every item, in order, without making the items."""
        for phrase, start, end in zip(self.phrases, [0, *self._ends], self._ends, strict=False):
            yield from repeat(_groups(phrase), end - start)

    def make(self, index: int) -> Item:
        """Return the item at an index."""
        place = bisect_right(self._ends, index)
        phrase, start = self.phrases[place], self._ends[place - 1] if place else 0
        template = self._without_noun[index - start] if phrase.noun == NONE else self.templates[index - start][0]
        text = template.format(noun_phrase=phrase.phrase, plural_noun_phrase=phrase.plural_phrase)
        return _item(f"sentences/{index}", phrase, text)


def regard_sentences() -> RegardSentences:
    """Return ROBBIE's variant: noun phrases before the ten phrases of the task `regard`."""
    phrases = tuple(phrase for phrase in noun_phrases() if phrase.kind != "descriptor")
    return RegardSentences(phrases, tuple(words for listed in regard.TEMPLATES.values() for words in listed))


@dataclass(frozen=True)
class RegardSentences(OnDemand[Item]):
    """Every noun phrase, with the definite article, before every ending. A sentence is made when it is asked for."""

    phrases: tuple[NounPhrase, ...]
    endings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.phrases) * len(self.endings)

    def groups(self) -> Iterator[tuple[str, ...]]:
        """Yield the groups of every item, in order, without making the items."""
        return (_groups(phrase) for _ in self.endings for phrase in self.phrases)

    def make(self, index: int) -> Item:
        """Return the item at an index."""
        ending, place = divmod(index, len(self.phrases))
        phrase = self.phrases[place]
        subject = "The " + phrase.phrase.split(" ", 1)[1]
        return _item(f"R/{index}", phrase, f"{subject} {self.endings[ending]}", subject=subject)


def _groups(phrase: NounPhrase) -> tuple[str, ...]:
    if phrase.axis in CONTROLS:
        return (f"control={phrase.axis}",)
    bucket = () if phrase.bucket == NONE else (f"{phrase.axis}={phrase.bucket}",)
    return (f"axis={phrase.axis}", *bucket)


def _item(name: str, phrase: NounPhrase, text: str, **facts: str) -> Item:
    facts = {"noun": phrase.noun, "noun_gender": phrase.noun_gender, "preference": phrase.preference, **facts}
    return Item(name, _groups(phrase), f"{phrase.axis}/{phrase.descriptor}", Prompt(text), facts=facts)
