"""Score one model's predictions and, in the same pass, observe its whole distributions: against another model's."""

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
    """Turns next-token distributions into fields of a passage's score."""

    def observe(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], tuple[Tensor, ...]]:
        """Return a function that is called on one part's pieces, in order, and gives columns with a row per logits'."""
        ...

    def to_fields(self, passage: int, columns: Columns) -> dict[str, Any]:
        """Return fields of the PassageScore, from the columns of the passage's predicted tokens, in order."""
        ...


@dataclass
class ObservedScorer:
    """Scores as `arm` does, and shows every prediction to `observer`.

    Distributions are dropped at once. `seen` holds the observer's columns per line, in pieces, until they are taken.
    """

    arm: Predictor
    observer: Observer
    seen: dict[int, list[list[NDArray[Any]]]] = field(default_factory=lambda: defaultdict(list))

    def plan(self, lines: Sequence[Line]) -> Sequence[Part]:
        """Return the arm's layout."""
        return self.arm.plan(lines)

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one part under the arm."""
        import torch

        part, observe = plan[index], self.observer.observe(plan, index)
        logprobs, edges, pieces = np.empty(len(part.targets)), [], []
        with torch.inference_mode():
            for piece in self.arm.predictions(plan, index):
                edges.append(piece.edges)
                pieces.append([column.cpu().numpy()[piece.rows] for column in observe(piece)])
                logprobs[piece.edges] = gather_logprobs(piece.logits, piece.rows, part.targets[piece.edges])
        columns = in_order(edges, pieces)
        for line in np.unique(part.lines).tolist():
            self.seen[line].append([column[part.lines == line] for column in columns])
        return logprobs

    def take(self, passage: int, lines: range) -> dict[str, Any]:
        """Return the fields of a passage that has these lines, and drop their columns."""
        pieces = [piece for line in lines for piece in self.seen.pop(line, ())]
        if not pieces:
            return {"kl": (), "agree": 0}
        return self.observer.to_fields(passage, [np.concatenate(column) for column in zip(*pieces, strict=True)])


def in_order(edges: Sequence[Ints], pieces: Sequence[Columns]) -> list[NDArray[Any]]:
    """Return the columns of all edges of a part, put together from pieces."""
    order = np.argsort(np.concatenate(edges))
    return [np.concatenate(column)[order] for column in zip(*pieces, strict=True)]


@dataclass(frozen=True)
class AgainstModel:
    """Compare every distribution with that of `dense`, exactly. Both models are in memory."""

    dense: Predictor

    def observe(self, plan: Sequence[Part], index: int) -> Callable[[Predictions], Compared]:
        """Return the KL and agreement of every row."""
        pieces: Iterator[Tensor] = (piece.logits for piece in self.dense.predictions(plan, index))

        def compare_rows(predictions: Predictions) -> Compared:
            nonlocal pieces
            rows, pieces = take_rows(pieces, len(predictions.logits))
            return compare(rows.to(predictions.logits.device), predictions.logits)

        return compare_rows

    def to_fields(self, passage: int, columns: Columns) -> dict[str, Any]:
        """Return the KL of each token, and how many agree."""
        return divergence_fields(columns)


def divergence_fields(columns: Columns) -> dict[str, Any]:
    """Return the fields of a PassageScore from the columns of `Compared`."""
    kl, agree = columns
    return {"kl": tuple(kl.tolist()), "agree": int(agree.sum())}


def take_rows(pieces: Iterator[Tensor], rows: int) -> tuple[Tensor, Iterator[Tensor]]:
    """Return the first rows [rows, vocabulary] of the pieces put together, and an iterator over the rest.

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
