"""Stored answers to questions with options, as the columns of their file.

Millions of answers are compared by columns. One by one they are made only where a metric reads more of them than which
option they pick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import Array, Chosen, choice, choice_per_byte, choice_per_token
from crushtest.records import Answer, Item
from crushtest.stats.stored_items import Index as Index
from crushtest.stats.stored_items import StoredItems, ids_of

if TYPE_CHECKING:
    import polars as pl

LENGTHS: Mapping[Chosen, str | None] = {choice: None, choice_per_token: "tokens", choice_per_byte: "bytes"}
"""Rules that can be applied by columns -> the column that they divide log-likelihoods by."""


class StoredChoices(Mapping[str, Answer]):
    """The answers of one file by item.

    frame   the file: item, logprobs, tokens, bytes, pick, reply, reason, token_digest
    build   makes answers of some of its rows, by item; raises StoreError if it cannot

    Raises what `build` does. An answer is `plain` if it has scores, as many tokens and bytes, and nothing else.
    """

    def __init__(self, frame: pl.DataFrame, build: Callable[[pl.DataFrame], dict[str, Answer]]) -> None:
        import polars as pl

        counts = [pl.col(name).list.len() for name in ("logprobs", "tokens", "bytes")]
        whole = [
            pl.col(name).list.eval(pl.element().is_not_null()).list.all() for name in ("logprobs", "tokens", "bytes")
        ]
        is_plain = pl.all_horizontal(
            pl.col("reason", "reply").is_null(), counts[0] > 0, counts[0] == counts[1], counts[0] == counts[2], *whole
        )
        self.frame, self._build = frame, build
        self.plain: NDArray[np.bool_] = frame.select(is_plain.fill_null(False)).to_series().to_numpy()
        build(frame.filter(~self.plain))
        self._aligned: tuple[Sequence[Item], Index] | None = None
        self._picks: dict[Chosen, Index] = {}

    # ---- one by one

    def __getitem__(self, item: str) -> Answer:
        return self._answers[item]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def _answers(self) -> dict[str, Answer]:
        return self._build(self.frame)

    def some(self, items: Sequence[Item], rows: Index) -> Mapping[str, Answer]:
        """Return at least the answers to the items in these rows [n]."""
        if "_answers" in self.__dict__:
            return self._answers
        at = self.rows(items)[rows]
        return self._build(self.frame[at[at >= 0]])

    # ---- by columns

    def rows(self, items: Sequence[Item]) -> Index:
        """Return [items] the row of each item's answer, -1 where there is none."""
        if self._aligned is None or self._aligned[0] is not items:
            self._aligned = items, self._rows_of(items)
        return self._aligned[1]

    def _rows_of(self, items: Sequence[Item]) -> Index:
        if isinstance(items, StoredItems) and items.frame["item"].equals(self.frame["item"]):
            return np.arange(len(items))
        row_of = {item: row for row, item in enumerate(self.frame["item"])}
        return np.fromiter((row_of.get(item, -1) for item in ids_of(items)), np.int64, len(items))

    def options(self, items: Sequence[Item]) -> Index:
        """Return [items] how many options each answer has scores of; 0 if it is not plain."""
        return _at(self.counts, self.rows(items), 0)

    @cached_property
    def logprobs(self) -> Array:
        """Return [rows, most options] the log-likelihoods of plain answers, -inf where there is no such option."""
        return self._lists("logprobs", -np.inf)

    @cached_property
    def counts(self) -> Index:
        """[rows] How many options each answer has scores of; 0 if it is not plain."""
        counts: Index = self.frame["logprobs"].list.len().fill_null(0).to_numpy().astype(np.int64)
        return np.where(self.plain, counts, 0)

    def picks(self, rule: Chosen, items: Sequence[Item]) -> Index:
        """Return [items] which option each answer picks by a rule; -1 if none, or if the answer is not plain."""
        if rule not in self._picks:
            self._picks[rule] = self._picked(LENGTHS[rule])
        return _at(self._picks[rule], self.rows(items), -1)

    def same_tokens(self, other: StoredChoices, items: Sequence[Item]) -> tuple[int, int, int]:
        """Return how many items have scores of the same tokens in both, of other tokens, and of either.

        Of either: as many, but an answer does not say which.
        """
        import polars as pl

        at = np.stack([self.rows(items), other.rows(items)])
        at = at[:, (at >= 0).all(axis=0)]
        at = at[:, self.plain[at[0]] & other.plain[at[1]]]
        one, two = (each.frame.select("tokens", "token_digest")[rows] for each, rows in ((self, at[0]), (other, at[1])))
        differ = one["tokens"].ne_missing(two["tokens"])
        same = one["token_digest"] == two["token_digest"]
        states = pl.select(pl.when(differ).then(False).otherwise(same)).to_series()
        return int(states.sum()), int((~states).sum()), states.null_count()

    def _picked(self, lengths: str | None) -> Index:
        values = self.logprobs if lengths is None else self.logprobs / np.maximum(self._lists(lengths, 1), 1)
        if not values.shape[1]:
            return np.full(len(values), -1)
        is_top = values == values.max(axis=1, keepdims=True)
        finite = np.isfinite(np.where(np.isinf(values), 0.0, values).sum(axis=1))
        return np.where(self.plain & finite & (is_top.sum(axis=1) == 1), values.argmax(axis=1), -1)

    def _lists(self, column: str, blank: float) -> Array:
        """Return [rows, most options] the lists of a column of plain answers, with `blank` behind their ends."""
        flat: Any = self.frame[column].filter(self.plain).explode().to_numpy()
        values = np.full((len(self.counts), int(self.counts.max(initial=0))), blank)
        values[np.arange(values.shape[1]) < self.counts[:, None]] = flat
        return values


def _at(values: Index, rows: Index, blank: int) -> Index:
    """Return [n] values of rows, `blank` for the row -1."""
    found: Index = np.append(values, blank)[rows]
    return found
