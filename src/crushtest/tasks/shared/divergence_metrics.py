"""Metrics of how far an arm's next-token distributions are from the dense model's, over the tokens of passages.

They read answers to passages that were asked `against_dense`. Such an answer holds KL(dense || arm) of every scored
token, or a lower bound of it, and how often both models rank the same token first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from crushtest.metrics import Array, Metric, ratio
from crushtest.records import Item, Passage, PassageScore
from crushtest.tasks.base import Task

Divergence = Literal[False, True, "top_k"]
"""A task's option: no comparison, a comparison with the dense model itself, or with its stored top k tokens."""
K = 64

LEAST, MOST, PER_DECADE = 1e-6, 1e3, 16
BINS = round(math.log10(MOST / LEAST)) * PER_DECADE + 1
"""Bins of KL in nats: one below 1e-6, read as 0, then 16 per decade. A percentile read from them is off by less than
a sixteenth of a decade (15%) for any distribution. Interpolation usually keeps the error below 2%."""

NOT_COMPARED = "the passages were not scored against the dense model"
NOT_OF_THESE = "not compared with the dense model: another engine, other token ids or a vocabulary of another size"

EXACT_WORDS: tuple[dict[str, Any], ...] = (
    {
        "label": "KL from dense",
        "meaning": "Mean nats per token by which its next-token probabilities differ; 0: not at all.",
    },
    {
        "label": "KL from dense, 99th percentile",
        "meaning": "Nats that 99 of 100 tokens stay below, within 15%.",
    },
)
LOWER_BOUND_WORDS: tuple[dict[str, Any], ...] = (
    {
        "label": "KL, at least",
        "meaning": "Mean nats per token; dense's top tokens one by one, all others as one class.",
    },
    {
        "label": "KL, at least, 99th percentile",
        "meaning": "Nats that 99 of 100 tokens' lower bounds stay below, within 15%.",
    },
)
AGREEMENT_WORDS: dict[str, Any] = {"label": "same first choice as dense", "meaning": "Share of tokens; 1: all."}


def divergence_metrics(divergence: Divergence) -> tuple[Metric, ...]:
    """Compare every next-token distribution with the dense model's, in engine `hf` only. Values of `divergence`:

    true        compare exactly, over the whole vocabulary, with both models in memory. `kl_mean` is the mean over
                tokens of KL(dense || arm) in nats, `kl_p99` its 99th percentile, and `top1_agreement` the share of
                tokens for which both models have the same first choice. For the dense model itself they are 0, 0 and 1
    top_k       keep one model in memory at a time. For every token the dense arm stores its 64 most probable tokens and
                the total probability of all others in files of the study. They take 516 bytes per token (0.15 GB for
                WikiText-2's test part) and can be removed once no arm is to be added. `kl_mean_at_least` and
                `kl_p99_at_least` are the KL over these 64 tokens and one class for the rest. Merging outcomes never
                raises KL (data-processing inequality), so they are lower bounds. `top1_agreement` is exact

    Percentiles are read from bins of KL, 16 per decade. They are off by at most 15%, usually by less than 2%, and are 0
    where KL is below 1e-6. The lower bound is loosest where the dense model is unsure. For SmolLM2-135M by `rtn` in 4
    and in 8 bits, on 5112 tokens of technical prose, it was 0.250 and 0.0010 where KL was 0.298 and 0.0012. Compare
    arms by one measure: a lower bound does not compare with an exact KL. An arm that cuts the text into other tokens
    has none of these metrics; with `top_k`, neither has an arm with a vocabulary of another size.
    """
    if not divergence:
        return ()
    bounded = divergence == "top_k"
    lower, undefined = ("_at_least", NOT_OF_THESE) if bounded else ("", NOT_COMPARED)
    mean, percentile = LOWER_BOUND_WORDS if bounded else EXACT_WORDS
    tokens = ("sum", "tokens")
    bins = tuple(f"kl_{edge:.3g}" for edge in _edges()[:-1])
    nats: dict[str, Any] = {
        "flip_key": None,
        "relative_to_dense": True,
        "unit": "nats",
        "undefined_reason": undefined,
    }
    share = nats | {"unit": "rate", "bounds": (0.0, 1.0)}
    return (
        Metric(f"kl_mean{lower}", tokens, _kl, ratio, "lower", **nats, **mean),
        Metric(f"kl_p99{lower}", bins, _counts, _percentile_99, "lower", **nats, **percentile),
        Metric(
            "top1_agreement",
            tokens,
            _agreement,
            ratio,
            "higher",
            **share,
            **AGREEMENT_WORDS,
        ),
    )


def passages_task(
    items: Callable[[], Sequence[Item]],
    metrics: Sequence[Metric],
    divergence: Divergence,
    *,
    headline: str | None = None,
) -> Task:
    """Return a task of passages. With `divergence` it also compares them with the dense model."""
    if not divergence:
        return Task("passages", items, tuple(metrics), headline=headline)
    return Task(
        "passages",
        lambda: [_against_dense(item) for item in items()],
        (*metrics, *divergence_metrics(divergence)),
        likeliest=K if divergence == "top_k" else None,
        headline=headline,
    )


def _against_dense(item: Item) -> Item:
    assert isinstance(item.request, Passage)
    return replace(item, request=replace(item.request, against_dense=True))


def _kl(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    return (0.0, 0.0) if answer.kl is None else (sum(answer.kl), float(len(answer.kl)))


def _agreement(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    if answer.kl is None or answer.agree is None:
        return (0.0, 0.0)
    return (float(answer.agree), float(len(answer.kl)))


@cache
def _edges() -> Array:
    """Return the edges of the bins, [bins + 1], in nats."""
    import numpy as np

    return np.concatenate([[0.0], np.geomspace(LEAST, MOST, BINS)])


def _counts(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    """Return the number of tokens in each bin."""
    import numpy as np

    values = np.minimum(np.array(answer.kl or (), dtype=np.float64), MOST * (1 - 1e-12))
    return tuple(np.histogram(values, _edges())[0].astype(float).tolist())


def _percentile_99(*totals: Array) -> Array:
    """Return the value that 99 of 100 tokens stay below, interpolated within its bin."""
    import numpy as np

    counts = np.stack(totals)
    reached = np.cumsum(counts, axis=0)
    wanted = 0.99 * reached[-1]
    place = np.argmax(reached >= wanted, axis=0)
    inside = np.take_along_axis(counts, place[None], axis=0)[0]
    before = np.take_along_axis(reached, place[None], axis=0)[0] - inside
    low, high = _edges()[place], _edges()[place + 1]
    share = ratio(wanted - before, inside)
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Array = np.where(low == 0, 0.0, low * (high / low) ** share)
    return np.where(reached[-1] == 0, np.nan, value)
