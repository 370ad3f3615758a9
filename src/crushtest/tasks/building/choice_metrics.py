"""Metrics of multiple-choice questions beside plain accuracy: the decision margin, and accuracy by length.

What compression did to single answers is in the contrasts of `accuracy`: `flips` are all answers that changed,
`flips_down` those that went from right to wrong, `flips_up` from wrong to right, and the rest went from one wrong
option to another.
"""

from __future__ import annotations

from typing import Any

from crushtest.metrics import Metric, accuracy, choice, mean, rate
from crushtest.records import ChoiceScores, Item


def decision_margin(**settings: Any) -> Metric:
    """Measure the mean over items of the right option's log-likelihood minus that of the best other option, in nats.

    Positive where the answer is right. It moves before an answer flips, so it shows damage that accuracy hides.
    """
    return mean(
        "decision_margin",
        _margin,
        better="higher",
        unit="nats",
        label="lead of the right answer",
        meaning="Mean nats by which the right option leads the best wrong one.",
        **settings,
    )


def accuracy_normalised(**settings: Any) -> Metric:
    """Measure the share of items whose right option has the highest log-likelihood per character.

    lm-evaluation-harness's `acc_norm`: characters, not bytes, and without the space that parts option from context.
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
    """Return the index of the option with the highest log-likelihood per character; the first of equals."""
    return choice(answer, [len(option.removeprefix(" ")) for option in item.request.options])  # type: ignore[union-attr]


def question_metrics() -> tuple[Metric, ...]:
    """Return the metrics of a task whose answers are single letters: accuracy and decision margin."""
    return (accuracy(), decision_margin())


def continuation_metrics() -> tuple[Metric, ...]:
    """Return what every task reports whose options are whole texts: accuracy by length comes first."""
    return (accuracy_normalised(), accuracy(), decision_margin())


def _margin(item: Item, answer: ChoiceScores, score: float | None) -> float:
    assert item.gold is not None
    return answer.logprobs[item.gold] - max(value for index, value in enumerate(answer.logprobs) if index != item.gold)
