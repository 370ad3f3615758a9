"""Generate UnQover's keys, contexts, questions and answers from its word lists, in its own generator's order.

Li et al., UnQovering Stereotyping Biases via Underspecified Questions, Findings of EMNLP 2020,
https://aclanthology.org/2020.findings-emnlp.311. The word lists are those of github.com/allenai/unqover.

A key is `cluster|cluster|subject|subject|template|attribute class|attribute|attribute`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Literal, NamedTuple

from crushtest.data import sources
from crushtest.errors import DataError
from crushtest.tasks.shared.on_demand import OnDemand

Category = Literal["religion", "ethnicity", "country", "gender_occupation"]

VOWELS = frozenset("aeiouAEIOU")


class Lists(NamedTuple):
    """The word lists of one category, by their names in the data set."""

    subjects: tuple[str, ...]
    attributes: str
    templates: str


LISTS: dict[Category, Lists] = {
    "religion": Lists(("religion",), "biased_religion", "religion_noact"),
    "ethnicity": Lists(("ethnicity",), "biased_ethnicity", "ethnicity_noact"),
    "country": Lists(("country",), "biased_country", "country_noact"),
    "gender_occupation": Lists(("female", "male"), "occupation_rev1", "gender_noact"),
}


class Subject(NamedTuple):
    """A group, country or name, with the cluster that lists it and its forms (`[subj]`; `[subj:dem]`, as in Iraqi)."""

    cluster: str
    forms: dict[str, str]

    @property
    def name(self) -> str:
        """The form that stands in keys."""
        return self.forms["[subj]"]


class Attribute(NamedTuple):
    """An activity: its class, its name in keys, and the phrases, affirmed and negated, that fill slots of templates."""

    cluster: str
    name: str
    phrases: dict[str, str]


class Example(NamedTuple):
    """One item: a context that does not say which of two subjects the two questions ask for."""

    key: str
    context: str
    questions: tuple[str, str]
    answers: tuple[str, str]


@dataclass(frozen=True)
class Frame:
    """A template with an attribute filled in: the text around its two subject slots, and the forms they need."""

    tail: str
    attribute: str
    pieces: tuple[str, str, str]
    forms: tuple[str, str]

    def fill(self, subjects: tuple[Subject, Subject]) -> str:
        """Return the context and both questions, separated by tabs."""
        first, second = subjects[0].forms[self.forms[0]], subjects[1].forms[self.forms[1]]
        before, between, after = self.pieces
        return f"{_article(before, first)}{first}{_article(between, second)}{second}{after}"


@dataclass(frozen=True)
class Examples(OnDemand[Example]):
    """All items of one category: `pairs` of subjects in both orders, times `frames`. Each is made when asked for.

    The first half of the items has the pairs in one order, the second half the same pairs swapped.
    """

    pairs: tuple[tuple[Subject, Subject], ...]
    frames: tuple[Frame, ...]

    def __len__(self) -> int:
        return 2 * len(self.pairs) * len(self.frames)

    def make(self, index: int) -> Example:
        """Return the item at an index."""
        pair, frame = divmod(index, len(self.frames))
        return self._example(self._ordered(pair), self.frames[frame])

    def __iter__(self) -> Iterator[Example]:
        for pair in range(2 * len(self.pairs)):
            subjects = self._ordered(pair)
            for frame in self.frames:
                yield self._example(subjects, frame)

    def keys(self) -> Iterator[str]:
        """Yield all keys, in order, without their texts."""
        for pair in range(2 * len(self.pairs)):
            head = _head(self._ordered(pair))
            for frame in self.frames:
                yield head + frame.tail

    def swapped(self, index: int) -> int:
        """Return the index of the same item with its subjects in the other order."""
        return (index + len(self) // 2) % len(self)

    def subjects(self, index: int) -> tuple[Subject, Subject]:
        """Return the two subjects of an item, in its order."""
        return self._ordered(index // len(self.frames))

    def frame(self, index: int) -> Frame:
        """Return the template of an item, its attribute filled in."""
        return self.frames[index % len(self.frames)]

    def find(self, key: str) -> int | None:
        """Return the index of a key, or None if it is not one of this category."""
        head, tail = "|".join(key.split("|", 4)[:4]) + "|", "|".join(key.split("|", 4)[4:])
        pair, frame = self._heads.get(head), self._tails.get(tail)
        return None if pair is None or frame is None else pair * len(self.frames) + frame

    @cached_property
    def _heads(self) -> dict[str, int]:
        return {_head(self._ordered(pair)): pair for pair in range(2 * len(self.pairs))}

    @cached_property
    def _tails(self) -> dict[str, int]:
        return {frame.tail: number for number, frame in enumerate(self.frames)}

    def _ordered(self, pair: int) -> tuple[Subject, Subject]:
        if pair < len(self.pairs):
            return self.pairs[pair]
        first, second = self.pairs[pair - len(self.pairs)]
        return second, first

    @staticmethod
    def _example(subjects: tuple[Subject, Subject], frame: Frame) -> Example:
        context, question, negated = frame.fill(subjects).split("\t")
        answers = (subjects[0].forms[frame.forms[0]], subjects[1].forms[frame.forms[1]])
        return Example(_head(subjects) + frame.tail, context, (question, negated), answers)


def read_examples(category: Category) -> Examples:
    """Return all items of a category. Raises DataError if a word list is missing."""
    lists = LISTS[category]
    subjects = [read_subjects(name) for name in lists.subjects]
    pairs = product(*subjects) if len(subjects) == 2 else combinations(subjects[0], 2)
    return Examples(
        tuple((first, second) for first, second in pairs),
        tuple(_frames(_lines(f"slots/{lists.templates}"), read_attributes(lists.attributes))),
    )


def read_subjects(name: str) -> list[Subject]:
    """Return the subjects of one word list. Every form is listed in the same order."""
    forms: dict[str, list[tuple[str, str]]] = {}
    for head, term in _terms(f"nouns/subjects/{name}"):
        forms.setdefault(head, []).append(_cluster_and_term(term))
    if len({len(listed) for listed in forms.values()}) != 1:
        raise DataError(f"unqover: the forms of the subjects {name!r} do not have the same number of lines")
    columns = zip(*forms.values(), strict=True)
    return [
        Subject(column[-1][0], {head: term for head, (_, term) in zip(forms, column, strict=True)})
        for column in columns
    ]


def read_attributes(name: str) -> dict[str, list[Attribute]]:
    """Return the attributes of one word list, by the kind of slot they fill (`[p_act]`, `[p_act-single]`, ...).

    The n-th line of every kind, plural or singular, affirmed or negated, is about the same attribute. Keys use its name
    from the kind without `-single`, and the class of its last listed line.
    """
    kinds: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for head, term in _terms(f"activities/{name}"):
        kind = re.sub(r":[^\]]*\]", "]", head)
        kinds.setdefault(kind, {}).setdefault(head, []).append(_cluster_and_term(term))
    named = {kind: kinds[re.sub(r"-[^\]]*\]", "]", kind)] for kind in kinds}
    return {
        kind: [
            Attribute(
                list(heads.values())[-1][number][0],
                next(iter(named[kind].values()))[number][1],
                {head: terms[number][1] for head, terms in heads.items()},
            )
            for number in range(len(heads[kind]))
        ]
        for kind, heads in kinds.items()
    }


def _frames(templates: Iterable[str], attributes: dict[str, list[Attribute]]) -> Iterator[Frame]:
    """Yield every template filled with every attribute that fits it."""
    for number, template in enumerate(templates):
        for kind, listed in attributes.items():
            if kind in template or f"{kind[:-1]}:" in template:
                for attribute in listed:
                    yield _frame(number, template, attribute)


def _frame(number: int, template: str, attribute: Attribute) -> Frame:
    for head, phrase in attribute.phrases.items():
        template = template.replace(head, phrase)
    slots = re.findall(r"\[subj[12][^\]]*\]", template)
    if [slot[:6] for slot in slots] != ["[subj1", "[subj2"]:
        raise DataError(f"unqover: template {number} needs one slot for each of two subjects (got {template!r})")
    # consonants in the slots, so that only the articles of the template's own words are set here
    words = template.replace(slots[0], "X1").replace(slots[1], "X2").split(" ")
    for place in range(1, len(words)):
        if words[place][0] in VOWELS and words[place - 1] in ("a", "A"):
            words[place - 1] += "n"
    before, between, after = re.split("X1|X2", " ".join(words))
    tail = f"{number}|{attribute.cluster}|{attribute.name}|{attribute.name}"
    forms = (slots[0].replace("subj1", "subj"), slots[1].replace("subj2", "subj"))
    return Frame(tail, attribute.name, (before, between, after), forms)


def _article(text: str, subject: str) -> str:
    """Return the text before a subject, with a final `a` turned into `an` if the subject begins with a vowel."""
    if subject[0] in VOWELS and (text[-3:] in (" a ", " A ") or text in ("a ", "A ")):
        return f"{text[:-1]}n "
    return text


def _head(subjects: tuple[Subject, Subject]) -> str:
    first, second = subjects
    return f"{first.cluster}|{second.cluster}|{first.name}|{second.name}|"


def _lines(path: str) -> list[str]:
    lines = (line.strip() for line in sources.read_text("unqover", f"word_lists/{path}").split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def _terms(path: str) -> Iterator[tuple[str, str]]:
    """Yield (slot, term) of every line: `[p_act] rude | were full of savages`."""
    for line in _lines(path):
        head, _, term = line.partition(" ")
        yield head.strip(), term.strip()


def _cluster_and_term(term: str) -> tuple[str, str]:
    """Split `rude | were full of savages` into class and phrase. The class is "None" if the term has none."""
    cluster, bar, phrase = (part.strip() for part in term.partition("|"))
    return (cluster, phrase) if bar else ("None", cluster)
