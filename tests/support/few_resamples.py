"""Fewer resamples than users get, for studies of which no test reads an interval's last digits.

They are most of the time of a small study. What the full number gives is held by the tests of stats.
"""

from __future__ import annotations

import pytest

from crushtest.stats import heterogeneity
from crushtest.stats.contrasts import contrasts_of
from crushtest.stats.estimates import REPLICATES, estimates_of

PERMUTATIONS = heterogeneity.PERMUTATIONS


def resample_less(patch: pytest.MonkeyPatch) -> None:
    """Let studies that run in this process draw a tenth of the resamples."""
    _resample(patch, REPLICATES // 10, PERMUTATIONS // 10)


def resample_fully(patch: pytest.MonkeyPatch) -> None:
    """Let them draw as many as in any other process."""
    _resample(patch, REPLICATES, PERMUTATIONS)


def _resample(patch: pytest.MonkeyPatch, replicates: int, permutations: int) -> None:
    for measure in (estimates_of, contrasts_of):
        patch.setitem(measure.__kwdefaults__, "replicates", replicates)
    patch.setattr(heterogeneity, "PERMUTATIONS", permutations)
