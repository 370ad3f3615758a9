"""Decide by a trial if prefixes can be shared: the cache must change nothing."""

from __future__ import annotations

import numpy as np

from crushtest.engines.encoding import encode
from crushtest.engines.hf.trial import TEXT, TOLERANCE
from crushtest.engines.likelihood import score_groups
from crushtest.engines.packing import Line
from crushtest.engines.token_model import Tokenizer
from crushtest.engines.vllm.scoring import CachedLogLikelihood

SHORTEST = 32


def why_not_shared(
    sharing: CachedLogLikelihood, alone: CachedLogLikelihood, tokenizer: Tokenizer, *, context: int, dtype: str
) -> str | None:
    """Return None if lines score with the cache as they do without it; else why it is not used."""
    if context < SHORTEST:
        return f"every line by itself: a trial of vLLM's prefix cache needs {SHORTEST} tokens of context"
    lines = trial_lines(tokenizer, sharing.store.block, context)
    difference = np.abs(_scores(sharing, lines) - _scores(alone, lines)).max()
    allowed = TOLERANCE.get(dtype, 0.5)
    if difference <= allowed:
        return None
    return f"every line by itself: with vLLM's prefix cache scores differ by {difference:.2g} nats on a trial"


def trial_lines(tokenizer: Tokenizer, block: int, context: int) -> list[Line]:
    """Return lines that share whole blocks and parts of some, and that begin to predict before and behind these."""
    text = encode(tokenizer, [TEXT])[0]
    tokens = [tokenizer.start, *(list(text) * (3 * block // max(len(text), 1) + 1))][: min(3 * block, context - 8)]
    ends = sorted({max(len(tokens) * share // 6, 1) for share in (2, 3, 4, 5, 6)})
    lines = [Line([*tokens[:end], *tokens[1:6]], end) for end in ends]
    return [Line(tokens, 1), *lines, lines[-1]]


def _scores(likelihood: CachedLogLikelihood, lines: list[Line]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([score for _, [score] in sorted(score_groups(likelihood, [[line] for line in lines], ()))])
