"""The trunks that a context holds: those of the pack that is run next, and nothing else.

What a context holds before a pack depends on that pack alone. So do the places of its keys, and with them every
rounding: a pack gives the same numbers whatever was run before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crushtest.engines.llamacpp.library import Floats32
from crushtest.engines.llamacpp.model_file import TRUNK, Context
from crushtest.engines.packing import Ints, Pack, trunk_chain

NONE: Ints = np.empty(0, dtype=np.int64)


@dataclass
class Trunks:
    """Trunks of one plan that a context holds in its first sequence, one continuing the other."""

    context: Context
    _plan: Sequence[Pack] = ()
    _held: list[int] = field(default_factory=list)

    def reach(self, plan: Sequence[Pack], trunk: int | None) -> None:
        """Hold this trunk and those it continues; drop the others and run what is missing."""
        if plan is not self._plan:
            self._plan, self._held = plan, []
            self.context.clear()
        chain = trunk_chain(plan, trunk)
        common = 0
        while common < min(len(chain), len(self._held)) and chain[common] == self._held[common]:
            common += 1
        if common < len(self._held):
            self.context.forget(TRUNK, int(plan[self._held[common]].depth[0]))
            del self._held[common:]
        for index in chain[common:]:
            self._run(index, NONE)

    def run(self, plan: Sequence[Pack], index: int, wanted: Ints) -> Floats32:
        """Run a trunk, hold it, and return the logits of these of its nodes."""
        self.reach(plan, plan[index].trunk)
        return self._run(index, wanted)

    def _run(self, index: int, wanted: Ints) -> Floats32:
        pack = self._plan[index]
        nodes = len(pack.tokens)
        self._held.append(index)
        first, count = np.full(nodes, TRUNK), np.ones(nodes, dtype=np.int64)
        return self.context.run(pack.tokens, pack.depth, first, count, wanted)
