"""The likeliest option of every answer, from the log-likelihoods of a column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from crushtest.metrics import Array


class Likeliest(NamedTuple):
    """Of answers with options.

    logprobs   [rows, most options] -inf behind the last option, and where there is no answer
    chosen     [rows] the index of the likeliest option; NaN without an answer, and where the highest are tied
    lead       [rows] how far it leads the second (nats); 0 without a second
    """

    logprobs: Array
    chosen: Array
    lead: Array


def likeliest(logprobs: pl.Series) -> Likeliest:
    """Return the likeliest options of a column of lists."""
    counts = logprobs.list.len().fill_null(0).to_numpy()
    values = np.full((len(counts), max(2, int(counts.max(initial=0)))), -np.inf)
    values[np.arange(values.shape[1]) < counts[:, None]] = logprobs.filter(pl.Series(counts > 0)).explode().to_numpy()
    best, top = values.argmax(axis=1), values.max(axis=1)
    others = values.copy()
    others[np.arange(len(values)), best] = -np.inf
    second = others.max(axis=1)
    with np.errstate(invalid="ignore"):
        lead = np.where(counts > 1, top - second, 0.0)
    return Likeliest(values, np.where((counts > 0) & (top > second), best, np.nan), lead)
