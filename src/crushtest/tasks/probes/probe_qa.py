"""probe_qa: does a model answer with a stereotype although the text gives no reason to, or says otherwise?

480 questions in the form of BBQ (Parrish et al., Findings of ACL 2022) from 60 templates of our own, six for each of
ten protected attributes. Every stereotype cites the study that documents it (`probes/qa.yaml`). A smoke alarm, not a
benchmark: six templates say little about a group.

A template gives eight items: its two people in either order x the context alone (ambiguous: the right answer is
"unknown") or with a deciding sentence (disambiguated) x the negative or the non-negative question. So a model that
prefers the person named first, or one person whatever the question, leaves both bias scores at 0. The deciding sentence
agrees with the stereotype in one of the two orders and goes against it in the other. Which order that is alternates
between an attribute's templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.probes.wording import read_wording
from crushtest.tasks.shared.bbq_metrics import bbq_metrics

Role = Literal["unknown", "stereotyped", "other"]
Order = Literal["stereotyped first", "other first"]
Condition = Literal["ambiguous", "disambiguated"]
Polarity = Literal["negative", "nonnegative"]

# The n-th question of an attribute's t-th template takes the (n + t)-th: over the six templates of an attribute each
# of its eight kinds of question meets every order of the options once.
OPTION_ORDERS: tuple[tuple[Role, Role, Role], ...] = (
    ("unknown", "stereotyped", "other"),
    ("unknown", "other", "stereotyped"),
    ("other", "unknown", "stereotyped"),
    ("stereotyped", "unknown", "other"),
    ("stereotyped", "other", "unknown"),
    ("other", "stereotyped", "unknown"),
)


@dataclass(frozen=True, slots=True)
class Template:
    """One stereotype and its words. The head of `probes/qa.yaml` explains the fields.

    `place` is its place among the templates of its attribute.
    """

    attribute: str
    place: int
    unknown: str
    name: str
    group: str
    stereotype: str
    source: str
    people: tuple[str, str]
    context: str
    truth: str
    negative: str
    nonnegative: str


@task("probe_qa", dimension="representational harm", source="written for this project", licence="Apache-2.0", items=480)
def probe_qa() -> Task:
    """Questions in BBQ's form on ten protected attributes: does the model answer with the stereotype?

    Items: 480 questions in 60 clusters (templates). Groups: `attribute`, and in each attribute the stereotyped group.
    Metrics: accuracy, share of unknown answers and bias, with and without a context that decides (as in bbq).

    Known problems: six templates per attribute say little about a group; the stereotypes are those documented in the
    United States.
    """
    return Task("choices", _items, bbq_metrics(), headline="bias_ambiguous")


def read_templates() -> list[Template]:
    """Return the templates of `probes/qa.yaml`, in its order."""
    data = read_wording("qa.yaml")
    unknowns = data["unknown"]
    return [
        Template(attribute, place, unknowns[place % len(unknowns)], **(words | {"people": tuple(words["people"])}))
        for attribute, listed in data["attributes"].items()
        for place, words in enumerate(listed)
    ]


def _items() -> Sequence[Item]:
    # Questions on one context are adjacent, so that the engine computes what they share once.
    kinds = list(product(get_args(Order), get_args(Condition), get_args(Polarity)))
    return [_item(template, number, *kind) for template in read_templates() for number, kind in enumerate(kinds)]


def _item(template: Template, number: int, order: Order, condition: Condition, polarity: Polarity) -> Item:
    roles = OPTION_ORDERS[(number + template.place) % len(OPTION_ORDERS)]
    # The stereotype says: the negative question is about its group, the other question about the other person.
    biased: Role = "stereotyped" if polarity == "negative" else "other"
    opposed: Role = "other" if polarity == "negative" else "stereotyped"
    with_stereotype = (order == "stereotyped first") == (template.place % 2 == 0)
    right: Role = "unknown" if condition == "ambiguous" else biased if with_stereotype else opposed
    truth = None if condition == "ambiguous" else "with" if with_stereotype else "against"
    context = _context(template, order) + ("" if truth is None else " " + _deciding_sentence(template, with_stereotype))
    question = template.negative if polarity == "negative" else template.nonnegative
    return Item(
        id=f"{template.attribute}/{template.place * 8 + number}",
        groups=(f"attribute={template.attribute}", f"{template.attribute}={template.group}"),
        cluster=f"{template.attribute}/{template.name}",
        request=Choices(
            f"Context: {context}\nQuestion: {question}\nAnswer:", tuple(_option(template, r) for r in roles)
        ),
        gold=roles.index(right),
        facts={
            "condition": condition,
            "polarity": polarity,
            "order": order,
            "truth": truth,
            "biased": roles.index(biased),
            "unknown": roles.index("unknown"),
        },
    )


def _context(template: Template, order: Order) -> str:
    stereotyped, other = template.people
    first, second = (stereotyped, other) if order == "stereotyped first" else (other, stereotyped)
    return _capitalised(template.context.format(first=first, second=second))


def _deciding_sentence(template: Template, with_stereotype: bool) -> str:
    stereotyped, other = (_definite(person) for person in template.people)
    negative, nonnegative = (stereotyped, other) if with_stereotype else (other, stereotyped)
    return _capitalised(template.truth.format(negative=negative, nonnegative=nonnegative))


def _option(template: Template, role: Role) -> str:
    if role == "unknown":
        return f" {template.unknown}"
    return " " + _capitalised(_definite(template.people[0 if role == "stereotyped" else 1]))


def _definite(person: str) -> str:
    """Turn `an older man` into `the older man`."""
    return "the " + person.partition(" ")[2]


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
