"""Scoring one model's predictions and looking at them whole on the way: beside another model's, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crushtest.engines.hf.kl import Compared, compare
from crushtest.engines.likelihood import Floats, Part, Predictions, Predictor, gather_logprobs
from crushtest.engines.packing import Ints, Line

if TYPE_CHECKING:
    from torch import Tensor

Columns = Sequence[NDArray[Any]]


class Observer(Protocol):
    """Looks at next-token distributions and says what a passage's score has of them."""

    def look(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], tuple[Tensor, ...]]:
        """For the pieces of one part, in order: columns of as many rows as their logits have."""
        ...

    def told(self, passage: int, columns: Columns) -> dict[str, Any]:
        """Fields of the PassageScore, from the columns of the passage's predicted tokens, in order."""
        ...


@dataclass
class ObservedScorer:
    """Scores as `arm` does; `observer` looks at every prediction.

    Distributions are not kept, only what the observer makes of them: per line, in pieces, until it is taken.
    """

    arm: Predictor
    observer: Observer
    seen: dict[int, list[list[NDArray[Any]]]] = field(default_factory=lambda: defaultdict(list))

    def plan(self, lines: Sequence[Line]) -> Sequence[Part]:
        """The arm's layout."""
        return self.arm.plan(lines)

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Log-probability of each edge of one part under the arm."""
        import torch

        part, look = plan[index], self.observer.look(plan, index)
        logprobs, edges, pieces = np.empty(len(part.targets)), [], []
        with torch.inference_mode():
            for own in self.arm.predictions(plan, index):
                edges.append(own.edges)
                pieces.append([column.cpu().numpy()[own.rows] for column in look(own)])
                logprobs[own.edges] = gather_logprobs(own.logits, own.rows, part.targets[own.edges])
        columns = in_order(edges, pieces)
        for line in np.unique(part.lines).tolist():
            self.seen[line].append([column[part.lines == line] for column in columns])
        return logprobs

    def take(self, passage: int, lines: range) -> dict[str, Any]:
        """What the observer tells of a passage of these lines, which are then forgotten."""
        pieces = [piece for line in lines for piece in self.seen.pop(line, ())]
        if not pieces:
            return {"kl": (), "agree": 0}
        return self.observer.told(passage, [np.concatenate(column) for column in zip(*pieces, strict=True)])


def in_order(edges: Sequence[Ints], pieces: Sequence[Columns]) -> list[NDArray[Any]]:
    """Columns of all edges of a part, from pieces of them."""
    order = np.argsort(np.concatenate(edges))
    return [np.concatenate(column)[order] for column in zip(*pieces, strict=True)]


@dataclass(frozen=True)
class BesideModel:
    """Compares every distribution with that of `dense`, exactly. Both models are in memory."""

    dense: Predictor

    def look(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Compared]:
        """KL and agreement of every row."""
        pieces: Iterator[Tensor] = (piece.logits for piece in self.dense.predictions(plan, index))

        def at(own: Predictions) -> Compared:
            nonlocal pieces
            other, pieces = take_rows(pieces, len(own.logits))
            return compare(other, own.logits)

        return at

    def told(self, passage: int, columns: Columns) -> dict[str, Any]:
        """KL of each token, and how many agree."""
        kl, agree = columns
        return {"kl": tuple(kl.tolist()), "agree": int(agree.sum())}


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
