"""Log-likelihoods of lines, laid out from all of them so that no answer depends on where a run was interrupted."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from crushtest.engines.packing import Ints, Line

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


class Part(Protocol):
    """Work that is run at once: its edges ask for `targets`, on behalf of `lines`, at `positions` in them."""

    @property
    def targets(self) -> Ints: ...
    @property
    def lines(self) -> Ints: ...
    @property
    def positions(self) -> Ints: ...
    @property
    def read(self) -> int:
        """How many tokens the model reads to run it, padding included."""
        ...


class LogLikelihood(Protocol):
    """Lays lines out in parts and runs these, each alone if need be."""

    def plan(self, lines: Sequence[Line]) -> Sequence[Part]:
        """Return all lines as parts. The layout depends on nothing but the lines."""
        ...

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability in nats of each edge of one part."""
        ...


class Predictions(NamedTuple):
    """What follows, as the network has it, for some edges of a part.

    edges    [edges] their places in the part
    rows     [edges] which row of the logits is each one's
    logits   [rows, vocabulary]; the receiver may overwrite them
    """

    edges: Ints
    rows: Ints
    logits: Tensor


class Predictor(LogLikelihood, Protocol):
    """Log-likelihoods whose whole distributions can be looked at."""

    def predictions(self, plan: Sequence[Part], index: int) -> Iterator[Predictions]:
        """Yield the logits of all edges of one part, piece by piece."""
        ...


def score_groups(
    likelihood: LogLikelihood, groups: Sequence[Sequence[Line]], done: Container[int]
) -> Iterator[tuple[int, list[float]]]:
    """Yield (index of the group, log-likelihood of each of its lines in nats) as groups are completed.

    The layout comes from all groups; parts that only done groups need are left out.
    """
    lines = [line for group in groups for line in group]
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    plan = likelihood.plan(lines)
    asked_by = [set(owner[part.lines].tolist()) for part in plan]
    waiting = np.bincount([group for owners in asked_by for group in owners], minlength=len(groups))
    first = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    total = np.zeros(len(lines))
    yield from ((int(index), []) for index in np.flatnonzero(waiting == 0) if int(index) not in done)
    for index, owners in enumerate(asked_by):
        if all(group in done for group in owners):
            continue
        np.add.at(total, plan[index].lines, likelihood.run(plan, index))
        for group in sorted(owners):
            waiting[group] -= 1
            if waiting[group] == 0 and group not in done:
                yield group, total[first[group] : first[group + 1]].tolist()


def log_probabilities(predictions: Iterator[Predictions], targets: Ints) -> Floats:
    """Return the log-probability in nats of each of `targets`, one per edge; softmax in float32."""
    import torch

    result = np.empty(len(targets))
    with torch.inference_mode():
        for some in predictions:
            result[some.edges] = gather_logprobs(some.logits, some.rows, targets[some.edges])
    return result


def gather_logprobs(logits: Tensor, rows: Ints, targets: Ints) -> Floats:
    """Return log_softmax(logits)[rows, targets], in float32; the logits [rows, vocabulary] are overwritten."""
    import torch

    logits = logits.float()
    top = logits.amax(dim=-1, keepdim=True)
    logits.sub_(top)
    index = torch.from_numpy(rows).to(logits.device), torch.from_numpy(targets).to(logits.device)
    chosen = logits[index]
    # In place: a second tensor of this size costs more time than the exponentials.
    normalizer = logits.exp_().sum(dim=-1).log_()
    return (chosen - normalizer[index[0]]).double().cpu().numpy()
