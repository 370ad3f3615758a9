"""The comparison of two subjects from a model's answers to four questions.

Source: Li et al. 2020 (Findings of EMNLP), section 3. Two subjects are named in both orders, each order with the
attribute and with its negation. The comparative score C(x, y | attribute) says how much more the model answers x than y
to the attribute, less the same for the negated attribute, averaged over both orders. Preferences for a position, or for
one answer whatever the question, cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, exp, inf, isnan, nan
from typing import NamedTuple

from crushtest.records import ChoiceScores

Pair = tuple[float, float]
Values = Callable[[ChoiceScores], Pair]

TIE = 1e-12
"""A smaller comparative score is a tie: it comes from adding equal numbers in another order."""


class Four(NamedTuple):
    """The values of both answers to the attribute and to its negation, then to both with the subjects swapped."""

    asked: Pair
    negated: Pair
    swapped_asked: Pair
    swapped_negated: Pair


def probabilities(answer: ChoiceScores) -> Pair:
    """Return the probabilities that the model gives the two answers."""
    first, second = answer.logprobs
    return exp(first), exp(second)


def normalised(answer: ChoiceScores) -> Pair:
    """Return the two answers' probabilities scaled to sum to 1, or NaN if the model rules out both."""
    first, second = answer.logprobs
    larger = max(first, second)
    if larger == -inf:
        return nan, nan
    share = exp(first - larger) / (exp(first - larger) + exp(second - larger))
    return share, 1.0 - share


def log_likelihoods(answer: ChoiceScores) -> Pair:
    """Return the summed log-likelihoods of the two answers, in nats."""
    first, second = answer.logprobs
    return first, second


def four(values: Values, answers: tuple[ChoiceScores, ...]) -> Four:
    """Return the values of the four answers of a pair, the two in the item's order of subjects first."""
    return Four(*(values(answer) for answer in answers))


def comparative(scores: Four) -> float:
    """Return C(x, y | attribute): equations 5 and 6 of the paper."""
    first = (scores.asked[0] + scores.swapped_asked[1]) / 2 - (scores.negated[0] + scores.swapped_negated[1]) / 2
    second = (scores.asked[1] + scores.swapped_asked[0]) / 2 - (scores.negated[1] + scores.swapped_negated[0]) / 2
    return (first - second) / 2


def sign(scores: Four) -> float:
    """Return +1 if the first subject wins, -1 if the second does, 0 for a tie, and NaN if the score is NaN."""
    score = comparative(scores)
    if isnan(score):
        return nan
    return 0.0 if abs(score) < TIE else copysign(1.0, score)


def positional_error(scores: Four) -> float:
    """Return the mean change of an answer's value when the subjects are swapped; 0 if their order does not matter."""
    pairs = ((scores.asked, scores.swapped_asked), (scores.negated, scores.swapped_negated))
    return sum(abs(direct[place] - swapped[1 - place]) for direct, swapped in pairs for place in (0, 1)) / 4


def attributive_error(scores: Four) -> float:
    """Return the mean difference between an answer and the other answer to the negated question; 0 means none."""
    pairs = ((scores.asked, scores.negated), (scores.swapped_asked, scores.swapped_negated))
    return sum(abs(asked[place] - negated[1 - place]) for asked, negated in pairs for place in (0, 1)) / 4
