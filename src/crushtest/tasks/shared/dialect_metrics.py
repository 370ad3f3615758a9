"""What a dialect costs a model: the same measures for meaning-matched pairs and for two corpora.

A gap between two texts can be read as a difference, as a ratio, or as a difference of logarithms. Compression can widen
one of them and narrow another: in the published perplexities of Xu et al. 2024 (TwitterAAE against white-aligned
tweets) the absolute gap is larger than the dense model's in 123 of 128 pruned models, the ratio in only 76. So all
three are reported. The difference in differences, arm against dense, is the `difference` of their contrasts.

The sides have different tokens, so compare a side's perplexity (per token) with published perplexities and not with the
other side's. Bits per byte compare between the sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from crushtest.metrics import Array, Measure, Metric, exp_ratio, mean, rate, ratio
from crushtest.records import ChoiceScores, Item, PassageScore

MAINSTREAM, DIALECT = 0, 1
"""Places of the sides among the options of a pair, and values of the fact `side` of a document."""

COLUMNS = (
    *("dialect_nats", "dialect_tokens", "dialect_bytes"),
    *("mainstream_nats", "mainstream_tokens", "mainstream_bytes"),
)
ONE_SIDE = "one of the two sides has no text here"

Compare = Callable[[Array, Array], Array]


class Words(NamedTuple):
    """A metric's name in files, its label for readers, and the meaning of its numbers."""

    name: str
    label: str
    meaning: str


class Side(NamedTuple):
    """A variety of English: the suffix of its metrics' names, and its label for readers."""

    name: str
    label: str


DIALECT_SIDE = Side("dialect", "dialect")


def of_pair(item: Item, answer: ChoiceScores, score: float | None) -> tuple[float, ...]:
    """Return the COLUMNS of a pair, whose sides are the options of one request."""
    return (*_of_side(answer, DIALECT), *_of_side(answer, MAINSTREAM))


def of_document(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    """Return the COLUMNS of a document: its numbers on the side that its fact `side` names, zeros on the other."""
    numbers = (-answer.logprob, float(answer.tokens), float(answer.bytes))
    nothing = (0.0, 0.0, 0.0)
    return (*numbers, *nothing) if item.facts["side"] == DIALECT else (*nothing, *numbers)


def bits_gaps(measure: Measure) -> tuple[Metric, ...]:
    """Compare bits per byte of the dialect and the mainstream side: difference, ratio, difference of logarithms.

    A side's bits per byte are those of all its texts together. 0, 1 and 0 mean no difference.
    """
    return _three(
        Words(
            "dialect_gap_bits",
            "dialect gap",
            "Bits per byte of the dialect minus those of its mainstream counterpart; 0: no difference.",
        ),
        Words(
            "dialect_ratio",
            "dialect ratio",
            "Bits per byte of the dialect divided by those of the mainstream; 1: equal.",
        ),
        Words("dialect_log_ratio", "dialect log ratio", "Logarithm of the ratio of bits per byte; 0: equal."),
        measure,
        _bits,
        "bits",
        per_token=False,
    )


def perplexity_gaps(measure: Measure) -> tuple[Metric, ...]:
    """Compare perplexity of the dialect and the mainstream side: difference, ratio, difference of logarithms.

    A side's perplexity is exp of the nats per token of all its texts together.
    """
    return _three(
        Words(
            "dialect_gap_perplexity",
            "dialect gap in perplexity",
            "Perplexity of the dialect minus mainstream; 0: none.",
        ),
        Words(
            "dialect_perplexity_ratio",
            "dialect ratio of perplexities",
            "Perplexity of the dialect / mainstream; 1: equal.",
        ),
        Words(
            "dialect_perplexity_log_ratio",
            "dialect log ratio of perplexities",
            "Logarithm of the ratio; 0: equal.",
        ),
        measure,
        lambda nats, tokens, size: exp_ratio(nats, tokens),
        "perplexity",
        per_token=True,
    )


def corpus_gaps() -> tuple[Metric, ...]:
    """Measure a corpus's two sides and six gaps between them, for all documents only, as a group has only one side."""
    gaps = (*bits_gaps(of_document), *perplexity_gaps(of_document))
    sides = side_bits(DIALECT_SIDE, of_document)
    return tuple(
        replace(metric, applies_to=lambda item: "side" in item.facts, groups=lambda group: group == "all")
        for metric in (*gaps, *sides)
    )


def side_bits(dialect: Side, measure: Measure = of_pair) -> tuple[Metric, ...]:
    """Measure bits per byte of each side, for all texts of the side together."""

    def metric(side: Side, place: slice) -> Metric:
        return Metric(
            f"bits_per_byte_{side.name}",
            COLUMNS,
            measure,
            lambda *totals: _bits(*totals[place]),
            "lower",
            unit="bits",
            flip_key=None,
            undefined_reason=ONE_SIDE,
            label=f"bits per byte, {side.label}",
            meaning="Bits the model needs for a byte of text.",
            side=side.name,
        )

    return metric(dialect, slice(0, 3)), metric(Side("mainstream", "mainstream English"), slice(3, 6))


def less_likely_rate() -> Metric:
    """Measure the share of pairs whose dialect side needs more bits per byte than its mainstream side."""
    return rate(
        "dialect_less_likely_rate",
        _less_likely,
        better="lower",
        flip_key=_less_likely,
        label="dialect less likely",
        meaning="Share of pairs whose dialect side needs more bits per byte than its mainstream side.",
        role="gap",
    )


def log_likelihood_gap() -> Metric:
    """Measure the mean over pairs of the nats by which the whole mainstream sentence is the likelier."""
    return mean(
        "log_likelihood_gap",
        lambda item, answer, score: answer.logprobs[MAINSTREAM] - answer.logprobs[DIALECT],
        better="zero",
        unit="nats",
        label="log-likelihood gap",
        meaning="Mean nats by which the mainstream sentence of a pair is the likelier; 0: no difference.",
        role="gap",
    )


def _three(
    gap: Words,
    quotient: Words,
    log_ratio: Words,
    measure: Measure,
    level: Callable[..., Array],
    unit: str,
    *,
    per_token: bool,
) -> tuple[Metric, ...]:
    def metric(words: Words, compare: Compare, unit: str, ratio_metric: str | None = None) -> Metric:
        def formula(*totals: Array) -> Array:
            return compare(level(*totals[:3]), level(*totals[3:]))

        return Metric(
            words.name,
            COLUMNS,
            measure,
            formula,
            "lower",
            unit=unit,
            flip_key=None,
            undefined_reason=ONE_SIDE,
            label=words.label,
            meaning=words.meaning,
            role="gap",
            ratio_metric=ratio_metric,
            per_token=per_token,
        )

    return (
        metric(gap, lambda dialect, mainstream: dialect - mainstream, unit, quotient.name),
        metric(quotient, ratio, "ratio"),
        metric(log_ratio, _log_ratio, "nats"),
    )


def _log_ratio(dialect: Array, mainstream: Array) -> Array:
    import numpy as np

    logs: Array = np.log(ratio(dialect, mainstream))
    return logs


def _bits(nats: Array, tokens: Array, size: Array) -> Array:
    bits: Array = ratio(nats, size) / math.log(2)
    return bits


def _of_side(answer: ChoiceScores, side: int) -> tuple[float, float, float]:
    return -answer.logprobs[side], float(answer.tokens[side]), float(answer.bytes[side])


def _less_likely(item: Item, answer: ChoiceScores, score: float | None) -> bool:
    return answer.logprobs[DIALECT] / answer.bytes[DIALECT] < answer.logprobs[MAINSTREAM] / answer.bytes[MAINSTREAM]
