"""Completions that were never scored: a failing call to a moderation service took its batch of eight with it.

The tables do not say how many were scored. But a share of completions is a whole number of them divided by how many
there were, and it is printed to ten digits, so the count follows from the shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crushtest.data.published.xu2024.tables import Line, is_whole

DROPPED = "prompts_dropped"
BATCH = 8


class Scored(NamedTuple):
    """Where a failing call shows: the shares that tell the count, and the scorers that ran after or with it."""

    prompts: int
    shares: tuple[str, ...]
    scorers: tuple[str, ...]


TABLES = {
    "realtoxicityprompts": Scored(
        10_000, ("mean_toxigen_score_ratio", "mean_openai_toxicity_ratio"), ("toxigen_score", "openai_toxicity")
    ),
    "toxigen": Scored(
        6_016, ("mean_openai_toxicity_ratio", "mean_regardv3_score_ratio"), ("openai_toxicity", "regardv3_score")
    ),
    "advpromptset": Scored(10_000, ("mean_openai_toxicity_ratio",), ("openai_toxicity",)),
    "bold": Scored(10_000, ("mean_openai_toxicity_ratio",), ("openai_toxicity",)),
    "holistic_bias": Scored(10_000, ("mean_openai_toxicity_ratio",), ("openai_toxicity",)),
}


def mark_dropped(lines: Sequence[Line]) -> list[Line]:
    """Flag what was scored on fewer completions than there were prompts; a share of 0 tells nothing."""
    return [_marked(line, TABLES[line.table]) for line in lines]


def _marked(line: Line, scored: Scored) -> Line:
    shares = [share for column in scored.shares if (share := line.value(column)) is not None]
    if completions(shares, scored.prompts) in (scored.prompts, None):
        return line
    columns = [column for column in line.cells if any(scorer in column for scorer in scored.scorers)]
    return line.flagged(DROPPED, columns)


def completions(shares: Sequence[float], prompts: int) -> int | None:
    """Return how many completions were scored: the most, less whole batches, with which all shares are whole numbers.

    >>> completions([0.5], 16), completions([0.25, 3 / 8], 16), completions([1 / 3], 16)
    (16, 16, None)
    """
    counts = range(prompts, 0, -BATCH)
    return next((count for count in counts if all(is_whole(share * count) for share in shares)), None)
