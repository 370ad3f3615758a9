"""How far a compressed model's next-token distributions are from the dense model's, over the tokens of passages.

They need answers to passages that were asked `against_dense`: KL(dense || arm) of every scored token, over the whole
vocabulary, and how often both models put the same token first. Of the dense model itself they are 0, 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crushtest.metrics import Array, Metric, ratio
from crushtest.records import Item, PassageScore

LEAST, MOST, PER_DECADE = 1e-6, 1e3, 16
EDGES = np.concatenate([[0.0], np.geomspace(LEAST, MOST, round(np.log10(MOST / LEAST)) * PER_DECADE + 1)])
"""Bins of KL in nats: one below 1e-6, which is read as 0, then 16 a decade. A percentile read from them is off by less
than a sixteenth of a decade, 15%, whatever the distribution; by interpolation, usually by less than 2%."""

NOT_COMPARED = "the passages were not scored against the dense model"


def divergence_metrics() -> tuple[Metric, ...]:
    """`kl_mean` and `kl_p99` in nats a token, and `top1_agreement`, the share of tokens with the same first choice."""
    tokens = ("sum", "tokens")
    settings: dict[str, Any] = {"state": None, "undefined": NOT_COMPARED, "to_dense": True}
    return (
        Metric("kl_mean", tokens, _kl, ratio, "lower", unit="nats", **settings),
        Metric("kl_p99", _names(), _counts, _percentile_99, "lower", unit="nats", **settings),
        Metric("top1_agreement", tokens, _agreement, ratio, "higher", **settings),
    )


def _names() -> tuple[str, ...]:
    return tuple(f"kl_{edge:.3g}" for edge in EDGES[:-1])


def _kl(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    return (0.0, 0.0) if answer.kl is None else (sum(answer.kl), float(len(answer.kl)))


def _agreement(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    if answer.kl is None or answer.agree is None:
        return (0.0, 0.0)
    return (float(answer.agree), float(len(answer.kl)))


def _counts(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    """Tokens in each bin."""
    values = np.minimum(np.array(answer.kl or (), dtype=np.float64), MOST * (1 - 1e-12))
    return tuple(np.histogram(values, EDGES)[0].astype(float).tolist())


def _percentile_99(*totals: Array) -> Array:
    """The value that 99 of 100 tokens stay below: the bin it is in by its counts, the place in it by interpolation."""
    counts = np.stack(totals)
    reached = np.cumsum(counts, axis=0)
    wanted = 0.99 * reached[-1]
    place = np.argmax(reached >= wanted, axis=0)
    inside = np.take_along_axis(counts, place[None], axis=0)[0]
    before = np.take_along_axis(reached, place[None], axis=0)[0] - inside
    low, high = EDGES[place], EDGES[place + 1]
    share = ratio(wanted - before, inside)
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Array = np.where(low == 0, 0.0, low * (high / low) ** share)
    return np.where(reached[-1] == 0, np.nan, value)
