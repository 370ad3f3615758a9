"""The arms by what they cost: least harm first, and the smaller one where the harm is the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from crushtest.report.arm_verdict import ArmVerdict
from crushtest.report.shading import depth, extent, is_worse_alone
from crushtest.report.study_view import StudyView

LOST = 4
"""Steps of harm of a headline that an arm no longer gives the answers for: as many as the deepest shade."""


class Cost(NamedTuple):
    """What sorts an arm. Arms that were not tested come last.

    steps    of shading, summed over the headlines that got clearly worse, and over those that would have if their
             clusters were enough for a test: an order claims nothing, and a collapse stands behind what kept its shape
    extent   the same without an upper end, which tells apart what the deepest shade holds together
    size     share of dense's bytes; infinite if it is not recorded
    """

    untested: bool
    steps: int
    extent: float
    size: float


def cost(study: StudyView, verdict: ArmVerdict) -> Cost:
    """Return what an arm is sorted by."""
    hurt = [*(found.contrast for found in verdict.worse)]
    hurt += [each.contrast for each in verdict.unsettled if is_worse_alone(each.contrast)]
    units = [study.task(contrast.task).unit(contrast.metric) for contrast in hurt]
    sized = [(depth(contrast, unit), extent(contrast, unit)) for contrast, unit in zip(hurt, units, strict=True)]
    share = verdict.arm.share_of_dense
    return Cost(
        untested=verdict.tone in ("unmeasured", "undefined"),
        steps=sum(steps for steps, _ in sized) + LOST * len(verdict.lost),
        extent=sum(size for _, size in sized),
        size=math.inf if share is None else share,
    )


def least_harm_first(study: StudyView, verdicts: Sequence[ArmVerdict]) -> list[ArmVerdict]:
    """Return the arms sorted by `cost`."""
    return sorted(verdicts, key=lambda verdict: cost(study, verdict))
