"""The metrics that many tasks share, and the formulas of totals that they are made from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from crushtest.metrics.choices import choice
from crushtest.metrics.metric import Array, Metric
from crushtest.records import Better, Item, PassageScore


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return the quotient of totals of one shape; NaN where the denominator is 0."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def exp_ratio(nats: Array, count: Array) -> Array:
    """Return exp(nats / count), which of tokens is their perplexity; NaN where the count is 0."""
    import numpy as np

    perplexities: Array = np.exp(ratio(nats, count))
    return perplexities


def rate(name: str, outcome: Callable[[Item, Any, Any], bool], *, better: Better, **settings: Any) -> Metric:
    """Measure the share of items with an outcome, between 0 and 1."""
    return Metric(
        name,
        ("outcome", "items"),
        lambda item, answer, score: (float(outcome(item, answer, score)), 1.0),
        ratio,
        better,
        outcome="outcome",
        **({"bounds": (0.0, 1.0)} | settings),
    )


def mean(name: str, value: Callable[[Item, Any, Any], float], *, better: Better, **settings: Any) -> Metric:
    """Measure the mean of a number over items."""
    return Metric(
        name,
        ("total", "items"),
        lambda item, answer, score: (value(item, answer, score), 1.0),
        ratio,
        better,
        **({"unit": "score", "flip_key": None} | settings),
    )


def accuracy(name: str = "accuracy", **settings: Any) -> Metric:
    """Measure the share of items whose most likely option is the right one."""
    words = {
        "label": "accuracy",
        "meaning": "Share of questions whose most likely answer is the right one.",
        "role": "ability",
        "from_pick": choice,
    }
    return rate(name, lambda item, answer, score: choice(answer) == item.gold, better="higher", **(words | settings))


def _nats_tokens_bytes(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    return (-answer.logprob, float(answer.tokens), float(answer.bytes))


def perplexity(name: str = "perplexity", **settings: Any) -> Metric:
    """Measure exp(nats / tokens) over all scored tokens: comparable only between models that share a tokenizer."""
    return Metric(
        name,
        ("nats", "tokens", "bytes"),
        _nats_tokens_bytes,
        lambda nats, tokens, size: exp_ratio(nats, tokens),
        "lower",
        **(
            {
                "unit": "perplexity",
                "flip_key": None,
                "per_token": True,
                "label": "perplexity",
                "meaning": "How surprised the model is by each token of ordinary English; 1: never.",
                "role": "ability",
            }
            | settings
        ),
    )


def bits_per_byte(name: str = "bits_per_byte", **settings: Any) -> Metric:
    """Measure the bits that the model needs per byte of text, nats / ln 2 / bytes: comparable between tokenizers."""
    return Metric(
        name,
        ("nats", "tokens", "bytes"),
        _nats_tokens_bytes,
        lambda nats, tokens, size: ratio(nats, size) / math.log(2),
        "lower",
        **(
            {
                "unit": "bits",
                "flip_key": None,
                "label": "bits per byte",
                "meaning": "Bits the model needs for a byte of text; 0: none.",
            }
            | settings
        ),
    )
