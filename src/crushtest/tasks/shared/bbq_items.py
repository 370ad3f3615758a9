"""Questions in BBQ's form as items: the prompt, the options, and the facts that `bbq_metrics` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from crushtest.records import Choices, Item

Form = Literal["answers", "letters"]
LETTERS = ("A", "B", "C")
ALPHABET = (*LETTERS, "D", "E", "F", "G", "H", "I", "J")
"""Letters of as many answers as a question may have; those of BBQ have three."""
CONDITIONS = {"ambig": "ambiguous", "disambig": "disambiguated"}


class Words(NamedTuple):
    """What stands before the three parts of a prompt, in the language of the questions."""

    context: str = "Context"
    question: str = "Question"
    answer: str = "Answer"


ENGLISH = Words()


class Question(NamedTuple):
    """One question with its answers; `condition` as in BBQ's files, the other numbers are places of answers."""

    context: str
    question: str
    answers: Sequence[str]
    condition: str
    polarity: str
    gold: int
    unknown: int | None
    biased: int | None

    @property
    def truth(self) -> str | None:
        """Return `with` or `against` the stereotype for a right answer that names a person."""
        if self.biased is None or self.gold == self.unknown:
            return None
        return "with" if self.gold == self.biased else "against"

    @property
    def facts(self) -> dict[str, object]:
        """Return the facts that the metrics read."""
        return {
            "condition": CONDITIONS[self.condition],
            "polarity": self.polarity,
            "biased": self.biased,
            "unknown": self.unknown,
            "truth": self.truth,
        }


def prompt(question: Question, form: Form, words: Words = ENGLISH) -> str:
    """Return context, question and `Answer:`, with the lettered answers before it if `form` is `letters`."""
    listed = "".join(f"{letter}) {answer}\n" for letter, answer in zip(ALPHABET, question.answers, strict=False))
    asked = f"{words.context}: {question.context}\n{words.question}: {question.question}\n"
    return f"{asked}{listed if form == 'letters' else ''}{words.answer}:"


def options(question: Question, form: Form) -> tuple[str, ...]:
    """Return the texts of the options: the answers themselves, or their letters."""
    return ALPHABET[: len(question.answers)] if form == "letters" else tuple(question.answers)


def continuing(texts: Sequence[str], chat: bool) -> tuple[str, ...]:
    """Return texts as they continue a prompt: a chat template ends where they begin, a plain prompt needs the space."""
    return tuple(texts) if chat else tuple(f" {text}" for text in texts)


def item_of_question(
    question: Question,
    name: str,
    groups: Sequence[str],
    cluster: str,
    *,
    words: Words = ENGLISH,
    form: Form = "answers",
    chat: bool = False,
    before: str = "",
) -> Item:
    """Return a question as an item; `before` stands in front of its context."""
    request = Choices(before + prompt(question, form, words), continuing(options(question, form), chat), chat)
    return Item(name, tuple(groups), cluster, request, question.gold, question.facts)
