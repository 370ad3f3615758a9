"""Continuing a batch of prompts: read in prefix-shared packs, then one token per row and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crushtest.engines.llamacpp.library import Floats32
from crushtest.engines.llamacpp.model_file import TRUNK, Context
from crushtest.engines.llamacpp.trunks import NONE, Trunks
from crushtest.engines.packing import Ints, Line, Pack, plan_packs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class SequencesDecoder:
    """A sequence per row; rows hold in common what they begin with in common.

    size    nodes per pack
    shares  False to read every prompt by itself
    """

    context: Context
    size: int
    shares: bool
    _sequences: Ints = field(default_factory=NONE.copy)
    _lengths: Ints = field(default_factory=NONE.copy)

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Return the logits of each prompt's next token."""
        import torch

        self.context.clear()
        self._sequences = np.arange(TRUNK + 1, TRUNK + 1 + len(prompts))
        self._lengths = np.array([len(prompt) for prompt in prompts])
        logits = np.empty((len(prompts), self.context.model.vocabulary_size), dtype=np.float32)
        # A line's last token is no node, so one is added that nobody asks about.
        lines = [Line([*prompt, 0], len(prompt)) for prompt in prompts]
        if self.shares:
            plan = plan_packs(lines, self.size)
            # The rows of a pack follow each other only in the order of the packs.
            self._sequences[np.concatenate([pack.lines for pack in plan])] = np.arange(len(lines)) + TRUNK + 1
            self._read_all(plan, logits)
        else:
            for row, line in enumerate(lines):
                [pack] = plan_packs([line], len(line.tokens))
                logits[row] = self._read(pack, self._sequences[[row]])[0]
        return torch.from_numpy(logits)

    def step(self, tokens: Tensor) -> Tensor:
        """Return the logits of what follows these tokens."""
        import torch

        ones = np.ones(len(tokens), dtype=np.int64)
        logits = self.context.run(tokens.numpy(), self._lengths, self._sequences, ones, np.arange(len(tokens)))
        self._lengths = self._lengths + 1
        return torch.from_numpy(logits)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows; places that only the others needed are given up."""
        for sequence in np.delete(self._sequences, rows.numpy()).tolist():
            self.context.forget(sequence)
        self._sequences, self._lengths = self._sequences[rows.numpy()], self._lengths[rows.numpy()]

    def _read_all(self, plan: Sequence[Pack], logits: Floats32) -> None:
        trunks = Trunks(self.context)
        for index, pack in enumerate(plan):
            sequences = self._sequences[pack.lines]
            if not pack.is_trunk:
                trunks.reach(plan, pack.trunk)
                self.context.continue_as(TRUNK, sequences.tolist())
                logits[pack.lines] = self._read(pack, sequences)
            elif len(pack.lines):
                wanted, row_of_edge = np.unique(pack.rows, return_inverse=True)
                logits[pack.lines] = trunks.run(plan, index, wanted)[row_of_edge]
                for sequence, stop in zip(sequences.tolist(), (pack.positions + 1).tolist(), strict=True):
                    self.context.continue_as(TRUNK, [sequence], stop)
        self.context.forget(TRUNK)

    def _read(self, pack: Pack, sequences: Ints) -> Floats32:
        """Read a pack whose rows are these sequences, ascending in depth-first order: logits [rows, vocabulary]."""
        # Those that end below a node follow each other.
        low = np.searchsorted(pack.rows, np.arange(len(pack.tokens)))
        high = np.searchsorted(pack.rows, pack.end)
        wanted, row_of_edge = np.unique(pack.rows, return_inverse=True)
        return self.context.run(pack.tokens, pack.depth, sequences[low], high - low, wanted)[row_of_edge]
