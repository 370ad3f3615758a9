"""How many answers changed, in which direction, and how many could have."""

from __future__ import annotations

from crushtest.results import Flips
from crushtest.stats.clusters import Index
from crushtest.stats.item_sums import Sums
from crushtest.stats.rates import mcnemar


def count_flips(dense: Sums, arm: Sums, rows: Index) -> Flips:
    """Count the flips from dense to arm over the items `rows` [n], all scored in both arms.

    At risk of flipping up are the items whose outcome was absent in dense, of flipping down those where it was present.
    """
    total = None
    if dense.states is not None and arm.states is not None:
        total = int((dense.states[rows] != arm.states[rows]).sum())
    if dense.outcome is None or arm.outcome is None:
        return Flips(total=total)
    before, after = dense.outcome[rows] > 0, arm.outcome[rows] > 0
    up, down = int((~before & after).sum()), int((before & ~after).sum())
    return Flips(
        total=total,
        up=up,
        down=down,
        p=mcnemar(up, down),
        at_risk_up=int((~before).sum()),
        at_risk_down=int(before.sum()),
    )
