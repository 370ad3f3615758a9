"""What compressing costs, from its first blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from crushtest.compress.recipes import Recipe, Step
from crushtest.errors import CompressionError
from crushtest.pipeline.cost.records import Spent, Watch, added
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.models.load import LoadedModel

COMPRESSING_S = 4.0
"""What a step is tried for, about; at least two blocks are compressed."""


class _Enough(Exception):
    """Ends a trial."""


class _Event(NamedTuple):
    what: str
    done: int
    total: int
    spent: Spent


def measure_compression(model: LoadedModel, recipe: Recipe, calibration: CalibrationTokens) -> Spent | None:
    """Return what compressing a model costs, and leave it with some of its blocks compressed.

    None if a step is another package's, which is not stopped halfway.
    """
    steps = [_measure_step(model, recipe, step, calibration) for step in recipe.steps]
    return None if None in steps else added(spent for spent in steps if spent is not None)


def _measure_step(model: LoadedModel, recipe: Recipe, step: Step, calibration: CalibrationTokens) -> Spent | None:
    from crushtest.compress import compress

    about = METHODS.get(step.method).about
    if about.needs_package or about.replaces_layers:
        return None
    watch, events = Watch(), list[_Event]()

    def show(what: str, done: int, total: int) -> None:
        events.append(_Event(what, done, total, watch.spent()))
        if watch.spent().effort_s > COMPRESSING_S and sum(event.what == what for event in events) > 1 and done < total:
            raise _Enough

    try:
        compress(model, Recipe(recipe.text, (step,)), calibration, on_progress=show)
    except _Enough:
        return _extrapolated(events)
    except CompressionError:  # an earlier trial has left it weights that it does not change
        pass
    return watch.spent()


def _extrapolated(events: Sequence[_Event]) -> Spent:
    """Return what all costs if each further part of what was being done costs what those before it did, but the first.

    The first one has what had to be done before it.
    """
    last = events[-1]
    first = next(event for event in events if event.what == last.what)
    each = last.spent.less(first.spent).times(1 / max(1, last.done - first.done))
    return last.spent + each.times(last.total - last.done)
