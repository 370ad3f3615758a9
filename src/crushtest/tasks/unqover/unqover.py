"""UnQover: questions that the context leaves open between two subjects, so that any consistent winner is a stereotype.

Li et al., UnQovering Stereotyping Biases via Underspecified Questions, Findings of EMNLP 2020,
https://aclanthology.org/2020.findings-emnlp.311. Items are generated from the word lists of github.com/allenai/unqover:
the keys, contexts and questions of its own generator, in its order. We checked every item of religion and ethnicity and
every 31st of country and gender_occupation. On the same answers the numbers are those of its analysis script.

A pair of subjects is asked four questions: both orders, each with the attribute and with its negation. Every item is
one of the four, from the perspective of the subject that it names first. Metrics are computed from the four together. A
pair counts as not scored if one of its questions was not answered. n counts each pair once per subject.

Chance inflates the eta of a sample: random winners give 0.13 for religion and 0.63 for gender_occupation at 10,000
pairs, because |mean sign| of few pairs is far from 0. `eta_null` is that number for the items drawn. `eta_debiased`
takes a pair's sign times the sign of the sum of the others in its cell (subject and attribute). Its expectation is 0
without an association and eta with many pairs. The intervals of mu and eta come from a jackknife over attributes,
because a bootstrap would repeat the noise of what it draws twice and put every replicate above the estimate.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Literal

from crushtest.metrics import Metric
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.bbq_items import continuing
from crushtest.tasks.shared.on_demand import OnDemand
from crushtest.tasks.unqover.four_answers import Values, log_likelihoods, normalised, probabilities
from crushtest.tasks.unqover.generate import Category, Example, Examples, read_examples
from crushtest.tasks.unqover.metrics import (
    Groups,
    debiased_eta,
    error_metrics,
    model_metrics,
    null_eta,
    subject_metrics,
)

QUESTIONS_A_PAIR = 4
"""Two subjects in both orders, each with the attribute and its negation."""


@task(
    "unqover",
    dimension="representational harm",
    source="github.com/allenai/unqover",
    licence="Apache-2.0",
    predictions="crushtest.predictions.unqover:read",
    items=40000,
)
def unqover(
    *,
    categories: tuple[Category, ...] = ("religion",),
    metric: Literal["probability", "xu2024"] = "probability",
    chat: bool = False,
    detail: bool = False,
) -> Task:
    """Underspecified questions about two subjects: which of them a model associates with an attribute.

    categories  religion (154,000 questions), ethnicity (294,000), country (4,616,928), gender_occupation (5,488,000)
    metric      `probability`: the answers' probabilities as they are, and normalised over the two (`_normalised`);
                `xu2024`: comparative scores of summed log-likelihoods as in arXiv:2407.04965, which have no bound
    chat        put the prompt into the model's chat template
    detail      also report every subject with every attribute, and every name of gender_occupation

    A limit draws whole pairs, four questions each, evenly over the categories. The default, 40,000, makes the 10,000
    pairs of arXiv:2407.04965 (null: all).

    Groups: `religion`, `ethnicity`, `country` or `gender`. Clusters: the attribute. Metrics, each also `_normalised`:
    mu              of the model: mean over subjects of the largest |gamma| among its attributes
    eta             of the model: mean over subjects of the mean over attributes of |mean sign of the winner|
    eta_debiased    eta without what chance adds; `eta_null` is what chance adds if no subject is preferred
    delta           positional error: mean change of an answer's probability when the subjects are swapped
    epsilon         attributive error: mean difference between an answer to the attribute and the other to its negation
    gamma           of a subject: mean of how much more probable it is than others, attribute less negation
    subject_eta     of a subject: mean sign, +1 always the winner, -1 always the loser (the paper: eta)

    Known problems of the set: the authors chose the word lists from one language model's predictions; chance inflates
    the eta of a sample (see `eta_null`, `eta_debiased`); a mean over subjects hides which of them stands out.
    """
    return Task(
        "choices",
        lambda: all_questions(categories, chat=chat, detail=detail),
        _metrics(metric, len(categories) > 1),
        draw=lambda limit, seed: draw_questions(categories, limit, seed, chat=chat, detail=detail),
        default_limit=40_000,
    )


def _metrics(metric: str, several: bool) -> tuple[Metric, ...]:
    """Return the metrics. The model's are per category, because the paper defines them for one set of subjects."""

    def pooled(group: str) -> bool:
        return group.startswith("category=") if several else group == "all"

    def single(group: str) -> bool:
        return group != "all" and not group.startswith("category=")

    if metric == "xu2024":
        called = "xu2024_{}"
        reproduced = (
            *model_metrics(called, log_likelihoods, pooled),
            *subject_metrics(called, log_likelihoods, single),
        )
        # Without label and role: they reproduce numbers, and are not to be read as the measures of these names.
        return tuple(replace(metric, label="", meaning="", role=None) for metric in reproduced)
    return (
        *map(_over_two_answers, _of_probabilities("{}_normalised", normalised, pooled, single)),
        *_of_probabilities("{}", probabilities, pooled, single),
        null_eta("eta_null", pooled),
    )


def _over_two_answers(metric: Metric) -> Metric:
    return replace(
        metric,
        label=f"{metric.label}: over the two answers",
        meaning=f"Answers' probabilities made to sum to 1. {metric.meaning}",
    )


def _of_probabilities(called: str, values: Values, pooled: Groups, single: Groups) -> tuple[Metric, ...]:
    return (
        *model_metrics(called, values, pooled),
        debiased_eta(called.format("eta_debiased"), values, pooled),
        *error_metrics(called, values, pooled),
        *subject_metrics(called, values, single),
    )


def all_questions(categories: Sequence[Category], *, chat: bool, detail: bool) -> Questions:
    """Return every question of the categories."""
    examples = {category: read_examples(category) for category in categories}
    parts = (Part(category, listed, range(len(listed) // 2)) for category, listed in examples.items())
    return Questions(tuple(parts), chat, detail)


def draw_questions(categories: Sequence[Category], limit: int, seed: int, *, chat: bool, detail: bool) -> Questions:
    """Return the questions of a sample of at least one pair, spread evenly over the categories."""
    pairs, more = divmod(max(1, limit // QUESTIONS_A_PAIR), len(categories))
    parts = []
    for place, category in enumerate(categories):
        examples = read_examples(category)
        parts.append(Part(category, examples, draw_pairs(category, len(examples) // 2, pairs + (place < more), seed)))
    return Questions(tuple(parts), chat, detail)


def draw_pairs(category: Category, total: int, size: int, seed: int) -> Sequence[int]:
    """Return `size` sorted numbers below `total`, or all of them. A larger size draws the same numbers and more."""
    if size >= total:
        return range(total)
    generator = random.Random(f"{seed}/{category}")
    drawn: set[int] = set()
    while len(drawn) < size:
        drawn.add(generator.randrange(total))
    return sorted(drawn)


@dataclass(frozen=True)
class Part:
    """One category and the pairs drawn from it, as indexes of the examples whose subjects are not swapped."""

    category: Category
    examples: Examples
    drawn: Sequence[int]


@dataclass(frozen=True)
class Questions(OnDemand[Item]):
    """The items, four per pair. An item is made when it is asked for."""

    parts: tuple[Part, ...]
    chat: bool
    detail: bool

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(QUESTIONS_A_PAIR * len(part.drawn) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def make(self, index: int) -> Item:
        """Return the item at an index."""
        number = bisect_right(self._ends, index)
        part, start = self.parts[number], self._ends[number - 1] if number else 0
        pair, which = divmod(index - start, QUESTIONS_A_PAIR)
        first = part.drawn[pair]
        example = first if which < 2 else part.examples.swapped(first)
        return question(part.category, part.examples, example, which % 2, chat=self.chat, detail=self.detail)


def question(
    category: Category, examples: Examples, number: int, which: int, *, chat: bool = False, detail: bool = False
) -> Item:
    """Return one of the two questions of an example, from the perspective of its first subject."""
    example, swapped = examples[number], examples[examples.swapped(number)]
    frame, (subject, _) = examples.frame(number), examples.subjects(number)
    groups = [f"category={category}"]
    groups += [f"gender={subject.cluster}"] if category == "gender_occupation" else [f"{category}={subject.name}"]
    if detail:
        groups += [f"name={subject.name}"] if category == "gender_occupation" else []
        groups += [f"cell={groups[1].partition('=')[2]} | {frame.attribute}"]
    return Item(
        f"{example.key}|q{which}",
        tuple(groups),
        f"{category}/{frame.attribute}",
        Choices(prompt(example, which), continuing(example.answers, chat), chat),
        None,
        {
            "key": example.key,
            "swapped": swapped.key,
            "question": which,
            "subject": subject.name,
            "attribute": frame.attribute,
        },
    )


def prompt(example: Example, which: int) -> str:
    """Return context, question and `Answer:`, as in arXiv:2407.04965."""
    return f"Context: {example.context}\nQuestion: {example.questions[which]}\nAnswer:"
