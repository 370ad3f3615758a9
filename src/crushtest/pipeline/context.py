"""The values that all steps of a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from crushtest.progress import Progress
from crushtest.records import Item
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens
    from crushtest.scorers.calling import Engines


@dataclass(frozen=True)
class Run:
    """One run of a study.

    items        the items of every task, by its name
    engines      loads the models that scorers ask
    calibration  the calibration tokens of every model that is still to be compressed, by the model's spec and the text
    """

    folder: StudyFolder
    plan: Plan
    items: dict[str, list[Item]]
    _: KW_ONLY
    calibration: Mapping[tuple[str, Calibration], CalibrationTokens]
    progress: Progress
    engines: Engines
