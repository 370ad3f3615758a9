"""Scoring one model's predictions and comparing them, on the way, with another's: both models in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from crushtest.engines.divergence import compare
from crushtest.engines.packing import Line
from crushtest.engines.scoring import Floats, Part, Predictor, gather_logprobs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class ComparingScorer:
    """Scores as `arm` does; every prediction is also compared with that of `dense`, over the whole vocabulary.

    Neither model's distributions are kept: what is left of a token is a number. Both models are in memory.
    kl      per line, KL(dense || arm) of its predicted tokens so far, in nats
    agree   per line, how many of them both models had the same first choice for
    """

    arm: Predictor
    dense: Predictor
    kl: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    agree: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def plan(self, lines: Sequence[Line]) -> Sequence[Part]:
        """The arm's layout."""
        return self.arm.plan(lines)

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Log-probability of each edge of one part under the arm."""
        import torch

        part = plan[index]
        logprobs, kl = np.empty(len(part.targets)), np.empty(len(part.targets))
        agree = np.empty(len(part.targets), dtype=bool)
        dense: Iterator[Tensor] = (piece.logits for piece in self.dense.predictions(plan, index))
        with torch.inference_mode():
            for own in self.arm.predictions(plan, index):
                other, dense = take_rows(dense, len(own.logits))
                found = compare(other, own.logits)
                kl[own.edges] = found.kl.double().cpu().numpy()[own.rows]
                agree[own.edges] = found.agree.cpu().numpy()[own.rows]
                logprobs[own.edges] = gather_logprobs(own.logits, own.rows, part.targets[own.edges])
        for line, nats, same in zip(part.lines.tolist(), kl.tolist(), agree.tolist(), strict=True):
            self.kl[line].append(nats)
            self.agree[line] += same
        return logprobs

    def take(self, lines: range) -> tuple[tuple[float, ...], int]:
        """What was found of these lines, which is then forgotten: KL of each token, and how many agree."""
        kl = tuple(nats for line in lines for nats in self.kl.pop(line, ()))
        return kl, sum(self.agree.pop(line, 0) for line in lines)


def take_rows(pieces: Iterator[Tensor], rows: int) -> tuple[Tensor, Iterator[Tensor]]:
    """The first rows [rows, vocabulary] of the pieces put together, and the pieces without them.

    A model cuts its predictions by the size of its own vocabulary, and an arm's may have been padded.
    """
    import torch

    taken, rest = [], rows
    while rest:
        piece = next(pieces)
        taken.append(piece[:rest])
        if len(piece) > rest:
            pieces = chain([piece[rest:]], pieces)
        rest -= len(taken[-1])
    return (taken[0] if len(taken) == 1 else torch.cat(taken)), pieces
