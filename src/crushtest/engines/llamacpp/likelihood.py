"""Log-likelihoods of prefix-shared packs: a node of the trie belongs to the sequences of the leaves below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from crushtest.engines.likelihood import Floats, Part, Predictions, log_probabilities
from crushtest.engines.llamacpp.library import Floats32
from crushtest.engines.llamacpp.model_file import TRUNK, Context
from crushtest.engines.llamacpp.trunks import Trunks
from crushtest.engines.packing import Ints, Line, Pack, plan_packs


@dataclass(frozen=True)
class SequencesLogLikelihood:
    """Runs packs in a context.

    size    nodes per pack
    shares  False to run every line by itself
    """

    context: Context
    trunks: Trunks
    size: int
    shares: bool

    def plan(self, lines: Sequence[Line]) -> Sequence[Pack]:
        """Return packs, trunks before what continues them."""
        if self.shares:
            return plan_packs(lines, self.size, most_lines=self.context.settings.sequences - 1)
        return [pack for index, line in enumerate(lines) for pack in _alone(line, index)]

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of a pack; its trunks are run first unless the context holds them."""
        return log_probabilities(self.predictions(plan, index), plan[index].targets)

    def predictions(self, plan: Sequence[Part], index: int) -> Iterator[Predictions]:
        """Yield the logits of the edges of one pack."""
        import torch

        packs = cast("Sequence[Pack]", plan)
        wanted, row_of_edge = np.unique(packs[index].rows, return_inverse=True)
        run = self.trunks.run if packs[index].is_trunk else self._run
        yield Predictions(np.arange(len(row_of_edge)), row_of_edge, torch.from_numpy(run(packs, index, wanted)))

    def _run(self, plan: Sequence[Pack], index: int, wanted: Ints) -> Floats32:
        pack, leaves = plan[index], leaf_sequences(plan[index])
        self.trunks.reach(plan, pack.trunk)
        sequences = range(TRUNK + 1, TRUNK + 1 + leaves.total)
        self.context.continue_as(TRUNK, sequences)
        logits = self.context.run(pack.tokens, pack.depth, leaves.first, leaves.count, wanted)
        for sequence in sequences:
            self.context.forget(sequence)
        return logits


@dataclass(frozen=True)
class Leaves:
    """The leaves of a pack as sequences.

    first  [nodes] the first of the sequences that a node belongs to
    count  [nodes] how many follow each other from there
    total  how many there are
    """

    first: Ints
    count: Ints
    total: int


def leaf_sequences(pack: Pack) -> Leaves:
    """Number the leaves of a pack as sequences. In depth-first order those below a node follow each other."""
    is_leaf = pack.end == np.arange(1, len(pack.end) + 1)
    before = np.concatenate([[0], np.cumsum(is_leaf)])
    return Leaves(TRUNK + 1 + before[:-1], before[pack.end] - before[:-1], int(before[-1]))


def _alone(line: Line, index: int) -> list[Pack]:
    """Return a line as a pack of its own."""
    packs = plan_packs([line], len(line.tokens))
    return [replace(pack, lines=np.full_like(pack.lines, index)) for pack in packs]
