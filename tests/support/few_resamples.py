"""Fewer resamples than users get, for studies of which no test reads an interval's last digits.

They are most of the time of a small study. What the full number gives is held by the tests of stats.
"""

from __future__ import annotations

import pytest

from crushtest.stats import heterogeneity
from crushtest.stats.contrasts import contrasts_of
from crushtest.stats.estimates import estimates_of

REPLICATES = 1000
PERMUTATIONS = 200


def resample_less(patch: pytest.MonkeyPatch) -> None:
    """Let studies that run in this process draw a tenth of the resamples."""
    for measure in (estimates_of, contrasts_of):
        patch.setitem(measure.__kwdefaults__, "replicates", REPLICATES)
    patch.setattr(heterogeneity, "PERMUTATIONS", PERMUTATIONS)
