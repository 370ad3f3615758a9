"""Metrics of multiple-choice questions beside plain accuracy: the decision margin and length-normalised accuracy.

The contrasts of `accuracy` say what compression did to single answers. `flips` counts all answers that changed,
`flips_down` those that went from right to wrong, and `flips_up` those that went from wrong to right. The rest went from
one wrong option to another.
"""

from __future__ import annotations

from typing import Any

from crushtest.metrics import Array, ByColumns, Metric, accuracy, choice, mean, rate
from crushtest.records import ChoiceScores, Item


def decision_margin(**settings: Any) -> Metric:
    """Measure the mean lead of the right option's log-likelihood over the best wrong option's, in nats.

    An item's margin is positive if the answer is right. It moves before an answer flips, so it shows damage that
    accuracy hides.
    """

    def margin(item: Item, answer: ChoiceScores, score: float | None) -> float:
        wrong = (logprob for option, logprob in enumerate(answer.logprobs) if option != item.gold)
        assert item.gold is not None
        return answer.logprobs[item.gold] - max(wrong)

    def by_columns(logprobs: Array, gold: Any) -> ByColumns:
        import numpy as np

        rows, wrong = np.arange(len(gold)), logprobs[:, 0].copy()
        wrong[rows, gold] = -np.inf
        return ByColumns((logprobs[rows, 0, gold] - wrong.max(axis=1), 1.0))

    return mean(
        "decision_margin",
        margin,
        by_columns=by_columns,
        better="higher",
        unit="nats",
        label="lead of the right answer",
        meaning="Mean nats by which the right option leads the best wrong one.",
        **settings,
    )


def accuracy_normalised(**settings: Any) -> Metric:
    """Measure the share of items whose right option has the highest log-likelihood per character.

    This is lm-evaluation-harness's `acc_norm`. It counts characters, not bytes, and leaves out the space that separates
    the option from its context.
    """
    return rate(
        "accuracy_normalised",
        lambda item, answer, score: choice_per_character(item, answer) == item.gold,
        better="higher",
        flip_key=lambda item, answer, score: choice_per_character(item, answer),
        label="accuracy, normalised",
        meaning="The same, options compared by their log-likelihood per character.",
        **settings,
    )


def choice_per_character(item: Item, answer: ChoiceScores) -> int:
    """Return the index of the option with the highest log-likelihood per character. Raises NoChoice."""
    return choice(answer, [len(option.removeprefix(" ")) for option in item.request.options])  # type: ignore[union-attr]


def question_metrics() -> tuple[Metric, ...]:
    """Return the metrics of a task whose answers are single letters: accuracy and decision margin."""
    return (accuracy(), decision_margin())


def continuation_metrics() -> tuple[Metric, ...]:
    """Return the metrics of a task whose options are whole texts, length-normalised accuracy first."""
    return (accuracy_normalised(), accuracy(), decision_margin())
