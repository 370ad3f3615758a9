"""Lines that are run in two ways: short ones together, long ones each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
from crushtest.engines.likelihood import Floats, Part, Predictions
from crushtest.engines.packing import Ints, Line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from crushtest.engines.hf.kv_choice import KvCache


@dataclass(frozen=True)
class Routed:
    """A part of one of two plans.

    part    the part, whose `lines` count those of its own plan
    plan    its plan, and where in that it is
    lines   [edges] the line that asks, of all
    long    True if its lines are long
    """

    part: Part
    plan: Sequence[Part]
    index: int
    lines: Ints
    long: bool

    @property
    def targets(self) -> Ints:
        """[edges] the token that is asked for."""
        return self.part.targets

    @property
    def positions(self) -> Ints:
        """[edges] place, in its line, of the token that predicts."""
        return self.part.positions

    @property
    def read(self) -> int:
        """How many tokens the model reads to run it."""
        return self.part.read

    @property
    def trunk(self) -> int | None:
        """The part that this one continues; short lines come first, so it has the same place in the whole plan."""
        return getattr(self.part, "trunk", None)


@dataclass(frozen=True)
class ByLength:
    """Runs lines of at most `limit` tokens in one way and longer ones in another."""

    short: PackedLogLikelihood | PaddedLogLikelihood
    long: PaddedLogLikelihood
    limit: int

    def on(self, network: PreTrainedModel, kv: KvCache | None) -> ByLength:
        """Return the same way of scoring for another network of this architecture."""
        return ByLength(self.short.on(network, kv), self.long.on(network, kv), self.limit)

    def plan(self, lines: Sequence[Line]) -> Sequence[Routed]:
        """Return the parts of short lines, then those of long ones."""
        parts: list[Routed] = []
        is_long = np.array([len(line.tokens) > self.limit for line in lines], dtype=bool)
        for long in (False, True):
            chosen = np.flatnonzero(is_long == long)
            way: PackedLogLikelihood | PaddedLogLikelihood = self.long if long else self.short
            plan: Sequence[Part] = way.plan([lines[index] for index in chosen.tolist()])
            parts += [Routed(part, plan, index, chosen[part.lines], long) for index, part in enumerate(plan)]
        return parts

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one part."""
        routed = cast("Sequence[Routed]", plan)[index]
        return self._way(routed).run(routed.plan, routed.index)

    def predictions(self, plan: Sequence[Part], index: int) -> Iterator[Predictions]:
        """Yield the logits of the edges of one part."""
        routed = cast("Sequence[Routed]", plan)[index]
        return self._way(routed).predictions(routed.plan, routed.index)

    def _way(self, routed: Routed) -> PackedLogLikelihood | PaddedLogLikelihood:
        return self.long if routed.long else self.short


Way: TypeAlias = PackedLogLikelihood | PaddedLogLikelihood | ByLength
