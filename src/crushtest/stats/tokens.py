"""The tokens that two arms cut the same items into: the same, or nothing per token compares.

Perplexity divides by the model's own tokens, so two tokenizers give two units. Engines that should share a tokenizer
may disagree on some items, too. Answers hold how many tokens each option or passage has and a digest of which they are;
older answers, and those of a server that cuts texts itself, hold no digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from crushtest.metrics import Metric, by_reported_name
from crushtest.records import Answer, ChoiceScores, Completion, Item, PassageScore, Prompt
from crushtest.results import Contrast, Effect, Flips
from crushtest.stats.item_sums import Answers
from crushtest.stats.stored_choices import StoredChoices
from crushtest.stats.verdicts import UNDEFINED


class TokenCounts(NamedTuple):
    """How many items two arms read as the same tokens, as other tokens, and how many may be either.

    An item is `unknown` if an answer does not say which tokens it has, and their numbers are equal.
    """

    equal: int
    differ: int
    unknown: int

    @property
    def compared(self) -> int:
        """The items that both arms answered."""
        return sum(self)


def compare_tokens(items: Sequence[Item], before: Answers, after: Answers) -> TokenCounts:
    """Compare two arms' tokens, item by item: of options and passages as scored, of completions those of the prompt.

    A turn that follows another is left out: its prompt holds what the model itself answered before.
    """
    if isinstance(before, StoredChoices) and isinstance(after, StoredChoices):
        return TokenCounts(*before.same_tokens(after, items))
    pairs = [
        (before.get(item.id), after.get(item.id))
        for item in items
        if not (isinstance(item.request, Prompt) and item.request.follows)
    ]
    same = [_same(one, other) for one, other in pairs if _read(one) and _read(other)]
    return TokenCounts(same.count(True), same.count(False), same.count(None))


def _read(answer: Answer | None) -> bool:
    return isinstance(answer, ChoiceScores | PassageScore | Completion)


def _same(one: Any, other: Any) -> bool | None:
    """Return whether two answers have the same tokens; None if one of them does not say."""
    if not isinstance(one, Completion) and one.tokens != other.tokens:
        return False
    if one.token_digest is None or other.token_digest is None:
        return None
    return bool(one.token_digest == other.token_digest)


def without_per_token(rows: Sequence[Contrast], metrics: Sequence[Metric], tokens: TokenCounts) -> list[Contrast]:
    """Return the rows with those of metrics per token undefined if any item has other tokens."""
    per_token = {name for name, metric in by_reported_name(metrics).items() if metric.per_token}
    if not tokens.differ or not per_token:
        return list(rows)
    reason = (
        f"the arms cut {tokens.differ} of {tokens.compared} items into other tokens, so nothing per token "
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
