"""The numbers of tokens that two arms cut the same items into: equal, or nothing per token compares.

Perplexity divides by the model's own tokens, so two tokenizers give two units. Engines that should share a tokenizer
may disagree on some items, too. Answers hold how many tokens each option or passage has, not which: other tokens in
equal number go unseen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from crushtest.metrics import Metric, by_reported_name
from crushtest.records import ChoiceScores, Item, PassageScore
from crushtest.results import Contrast, Effect, Flips
from crushtest.stats.item_sums import Answers
from crushtest.stats.verdicts import UNDEFINED


class TokenCounts(NamedTuple):
    """How many items two arms cut into other numbers of tokens, of those that both scored."""

    differ: int
    compared: int


def compare_tokens(items: Sequence[Item], before: Answers, after: Answers) -> TokenCounts:
    """Compare two arms' numbers of tokens, item by item. Completions are the models' own and do not count."""
    pairs = [(before.get(item.id), after.get(item.id)) for item in items]
    equal = [
        one.tokens == other.tokens
        for one, other in pairs
        if isinstance(one, ChoiceScores | PassageScore) and isinstance(other, ChoiceScores | PassageScore)
    ]
    return TokenCounts(differ=equal.count(False), compared=len(equal))


def without_per_token(rows: Sequence[Contrast], metrics: Sequence[Metric], tokens: TokenCounts) -> list[Contrast]:
    """Return the rows with those of metrics per token undefined if any item has other numbers of tokens."""
    per_token = {name for name, metric in by_reported_name(metrics).items() if metric.per_token}
    if not tokens.differ or not per_token:
        return list(rows)
    reason = (
        f"the arms cut {tokens.differ} of {tokens.compared} items into other numbers of tokens, so nothing per token "
        "compares; bits per byte do"
    )
    return [_undefined(row, reason) if row.metric in per_token else row for row in rows]


def _undefined(row: Contrast, reason: str) -> Contrast:
    return replace(
        row,
        dense=None,
        value=None,
        difference=None,
        intervals=None,
        p=None,
        flips=Flips(),
        effect=Effect(),
        mde=None,
        worst=None,
        spread=None,
        options=None,
        verdict=UNDEFINED,
        reason=reason,
        caution=None,
    )
