"""The comparison of two subjects from a model's answers to four questions.

Source: Li et al. 2020 (Findings of EMNLP), section 3. Two subjects are named in both orders, each order with the
attribute and with its negation. The comparative score C(x, y | attribute) says how much more the model answers x than y
to the attribute, less the same for the negated attribute, averaged over both orders. Preferences for a position, or for
one answer whatever the question, cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import copysign, exp, inf, isnan, nan
from typing import Any, NamedTuple

from crushtest.metrics import Array
from crushtest.records import ChoiceScores

Pair = tuple[float, float]
Pairs = tuple[Array, Array]


@dataclass(frozen=True)
class Values:
    """Two values made of the log-likelihoods of an answer's two options.

    of          of one answer
    by_columns  of many, to the same last bit
    """

    of: Callable[[float, float], Pair]
    by_columns: Callable[[Array, Array], Pairs]

    def __call__(self, answer: ChoiceScores) -> Pair:
        """Return the values of an answer."""
        return self.of(*answer.logprobs)


TIE = 1e-12
"""A smaller comparative score is a tie: it comes from adding equal numbers in another order."""


class Four(NamedTuple):
    """The values of both answers to the attribute and to its negation, then to both with the subjects swapped.

    They are numbers, or columns [items] of numbers.
    """

    asked: Any
    negated: Any
    swapped_asked: Any
    swapped_negated: Any


def _exp(values: Array) -> Array:
    """Return exp of each number [n], by the same function as of one: numpy's differs in the last bit."""
    import numpy as np

    return np.fromiter(map(exp, values.tolist()), np.float64, len(values))


def _share(first: float, second: float) -> Pair:
    larger = max(first, second)
    if larger == -inf:
        return nan, nan
    share = exp(first - larger) / (exp(first - larger) + exp(second - larger))
    return share, 1.0 - share


def _shares(first: Array, second: Array) -> Pairs:
    import numpy as np

    larger = np.maximum(first, second)
    with np.errstate(invalid="ignore"):
        one, other = _exp(first - larger), _exp(second - larger)
    share = one / (one + other)
    return share, 1.0 - share


probabilities = Values(
    lambda first, second: (exp(first), exp(second)), lambda first, second: (_exp(first), _exp(second))
)
"""The probabilities that the model gives the two answers."""

normalised = Values(_share, _shares)
"""The two answers' probabilities scaled to sum to 1, or NaN if the model rules out both."""

log_likelihoods = Values(lambda first, second: (first, second), lambda first, second: (first, second))
"""The summed log-likelihoods of the two answers, in nats."""


def four(values: Values, answers: tuple[ChoiceScores, ...]) -> Four:
    """Return the values of the four answers of a pair, the two in the item's order of subjects first."""
    return Four(*(values(answer) for answer in answers))


def fours(values: Values, logprobs: Array) -> Four:
    """Return the same as columns, of log-likelihoods [items, 4, 2]."""
    return Four(*(values.by_columns(*logprobs[:, place].T) for place in range(4)))


def comparative(scores: Four) -> Any:
    """Return C(x, y | attribute): equations 5 and 6 of the paper."""
    first = (scores.asked[0] + scores.swapped_asked[1]) / 2 - (scores.negated[0] + scores.swapped_negated[1]) / 2
    second = (scores.asked[1] + scores.swapped_asked[0]) / 2 - (scores.negated[1] + scores.swapped_negated[0]) / 2
    return (first - second) / 2


def sign(scores: Four) -> Any:
    """Return +1 if the first subject wins, -1 if the second does, 0 for a tie, and NaN if the score is NaN."""
    score = comparative(scores)
    if not isinstance(score, float):
        return _signs(score)
    if isnan(score):
        return nan
    return 0.0 if abs(score) < TIE else copysign(1.0, score)


def _signs(scores: Array) -> Array:
    import numpy as np

    return np.where(np.isnan(scores), np.nan, np.where(np.abs(scores) < TIE, 0.0, np.copysign(1.0, scores)))


def positional_error(scores: Four) -> Any:
    """Return the mean change of an answer's value when the subjects are swapped; 0 if their order does not matter."""
    return _mean_distance((scores.asked, scores.swapped_asked), (scores.negated, scores.swapped_negated))


def attributive_error(scores: Four) -> Any:
    """Return the mean difference between an answer and the other answer to the negated question; 0 means none."""
    return _mean_distance((scores.asked, scores.negated), (scores.swapped_asked, scores.swapped_negated))


def _mean_distance(one: tuple[Any, Any], two: tuple[Any, Any]) -> Any:
    """Return the mean of |an answer's value - the other answer's in the other question| over two pairs of questions."""
    (a, b), (c, d) = one, two
    return (abs(a[0] - b[1]) + abs(a[1] - b[0]) + abs(c[0] - d[1]) + abs(c[1] - d[0])) / 4
